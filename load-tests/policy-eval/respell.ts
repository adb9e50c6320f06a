/**
 * The same statement spelt otherwise: by the tokens of PostgreSQL's own scanner, with comments and line ends between them,
 * strings and names in every form that there is, keywords in any case; and as what a parser says back from the tree. A
 * spelling counts only where PostgreSQL's grammar makes the same tree of it: that is the judge, and not this file.
 */
import { isDeepStrictEqual } from 'node:util'
import { parseSync, type ScanToken, scanSync } from 'libpg-query'
import { deparseSync } from 'pgsql-deparser'

export interface Spellings {
  /** What the tree says back; undefined where that is not the same statement. */
  readonly canonical: string | undefined
  readonly others: readonly string[]
}

/** undefined: PostgreSQL does not parse it. */
export function spellingsOf(sql: string): Spellings | undefined {
  const tree = treeOf(sql)
  if (tree === undefined) return undefined
  const isSame = (text: string) => isDeepStrictEqual(treeOf(text), tree)
  const canonical = saidBack(sql)
  const others = [...new Set(ways.map((way) => respelt(sql, way)))]
  return {
    canonical: canonical !== undefined && isSame(canonical) ? canonical : undefined,
    others: others.filter((text) => text !== sql && isSame(text)),
  }
}

export function parses(sql: string): boolean {
  return treeOf(sql) !== undefined
}

function treeOf(sql: string): unknown {
  try {
    return withoutPlaces(parseSync(sql))
  } catch {
    return undefined
  }
}

function withoutPlaces(tree: unknown): unknown {
  if (Array.isArray(tree)) return tree.map(withoutPlaces)
  if (typeof tree !== 'object' || tree === null) return tree
  const fields = Object.entries(tree).filter(([field]) => !/location$|_len$|_list_(start|end)$/.test(field))
  return Object.fromEntries(fields.map(([field, value]) => [field, withoutPlaces(value)]))
}

function saidBack(sql: string): string | undefined {
  try {
    return deparseSync(parseSync(sql))
  } catch {
    return undefined
  }
}

interface Way {
  readonly between: string
  readonly string: (value: string) => string
  readonly name: (value: string) => string
  readonly word: (word: string) => string
}

const plain = (value: string) => `'${value.replaceAll("'", "''")}'`
const points = (value: string, form: (hex: string) => string) =>
  [...value].map((sign) => form((sign.codePointAt(0) ?? 0).toString(16))).join('')
const unicode = (value: string) => points(value, (hex) => `\\+${hex.padStart(6, '0')}`)
const same = (value: string) => value
const mixed = (word: string) =>
  [...word].map((sign, at) => (at % 2 === 0 ? sign.toUpperCase() : sign.toLowerCase())).join('')

const ways: readonly Way[] = [
  { between: '/**/', string: plain, name: same, word: mixed },
  {
    between: ' /* a /* b; */ -- */ ',
    string: (value) => `$x$${value}$x$`,
    name: (value) => `"${value}"`,
    word: same,
  },
  {
    between: '\n-- ; \'"\n',
    string: (value) => `E'${points(value, (hex) => `\\U${hex.padStart(8, '0')}`)}'`,
    name: same,
    word: mixed,
  },
  {
    between: '\t\f\r\n',
    string: (value) => `U&'${unicode(value)}'`,
    name: (value) => `U&"${unicode(value)}"`,
    word: same,
  },
  {
    between: ' ',
    string: (value) =>
      `e'${[...Buffer.from(value)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')}'`,
    name: (value) => `U&"${unicode(value)}" /**/`,
    word: mixed,
  },
]

function respelt(sql: string, way: Way): string {
  const bytes = Buffer.from(sql)
  return tokensOf(sql)
    .filter(({ tokenName }) => !/COMMENT/.test(tokenName))
    .map(({ start, end, tokenName, keywordKind }) => {
      const text = bytes.toString('utf8', start, end)
      if (tokenName === 'SCONST' && /^'([^'\\]|'')*'$/.test(text))
        return way.string(text.slice(1, -1).replaceAll("''", "'"))
      if (tokenName === 'IDENT' && /^\w+$/.test(text)) return way.name(text.toLowerCase())
      return keywordKind > 0 ? way.word(text) : text
    })
    .join(way.between)
}

/** None where there is a control character: the scanner's own JSON is then none. */
function tokensOf(sql: string): readonly ScanToken[] {
  try {
    return scanSync(sql).tokens
  } catch {
    return []
  }
}
