import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as libpg from 'libpg-query'
import { Kind, Lexer } from './lexer.ts'
import { corpus } from './testing/corpus.ts'

await libpg.loadModule()

/** Offsets of literals and comments, as cut here. */
function cut(text: string): readonly string[] {
  const bytes = Buffer.from(text)
  const lexer = new Lexer(bytes, 0, bytes.length)
  const found: string[] = []
  for (let kind = lexer.next(); kind !== Kind.end; kind = lexer.next()) {
    const name = names[kind]
    // N'…' is one literal here and a keyword before a literal there.
    const national = kind === Kind.string && bytes[lexer.start] !== 0x27 ? 1 : 0
    if (name !== undefined) found.push(`${name} ${lexer.start + national}-${lexer.end}`)
  }
  return found
}

/** The same by PostgreSQL's scanner; undefined where it refuses the text. */
function scanned(text: string): readonly string[] | undefined {
  let tokens: readonly libpg.ScanToken[]
  try {
    tokens = libpg.scanSync(text).tokens
  } catch {
    return undefined
  }
  return tokens.flatMap((token) => {
    const name = oracleNames[token.tokenType]
    return name === undefined ? [] : [`${name} ${token.start}-${token.end}`]
  })
}

const names: Readonly<Partial<Record<Kind, string>>> = {
  [Kind.comment]: 'comment',
  [Kind.string]: 'string',
  [Kind.escapeString]: 'string',
  [Kind.unicodeString]: 'string',
  [Kind.dollarString]: 'string',
  [Kind.bitString]: 'bits',
  [Kind.number]: 'number',
  [Kind.param]: 'param',
}

// PostgreSQL 18's token numbers: the package names only some of them.
const oracleNames: Readonly<Record<number, string>> = {
  275: 'comment',
  276: 'comment',
  261: 'string',
  262: 'string',
  263: 'bits',
  264: 'bits',
  266: 'number',
  260: 'number',
  267: 'param',
}

const pieces = fc.constantFrom(
  ...[
    "'",
    "''",
    '"',
    'E',
    'e',
    'U&',
    'u&',
    'N',
    'B',
    'x',
    '$',
    '$$',
    '$a$',
    '$b$',
    '\\',
    "\\'",
    '--',
    '/*',
    '*/',
  ],
  ...[
    '\n',
    '\r',
    ' ',
    '\t',
    '\v',
    ';',
    '1',
    '0x1F',
    '1.5',
    '.5',
    '1e3',
    '1_000',
    '$1',
    '..',
    'é',
    '日本',
    'a',
    '_b',
    'select',
  ],
  ...['+', '-', '/', '*', '@', '||', '::', ':=', '(', ')', ',', '.'],
)

test('literals and comments stand where PostgreSQL finds them, in the corpus', () => {
  let compared = 0
  for (const block of corpus()) {
    const expected = scanned(block.sql)
    if (expected === undefined) continue
    assert.deepEqual(cut(block.sql), expected, block.sql)
    compared += 1
  }
  assert.ok(compared > 300)
})

test('literals and comments stand where PostgreSQL finds them, in random pieces of SQL', () => {
  let compared = 0
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 24 }), (parts) => {
      const text = parts.join('')
      const expected = scanned(text)
      if (expected === undefined) return
      compared += 1
      assert.deepEqual(cut(text), expected, JSON.stringify(text))
    }),
    { numRuns: 6000 },
  )
  assert.ok(compared > 500, `only ${compared} texts were comparable`)
})

test('every byte belongs to exactly one token, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const lexer = new Lexer(bytes, 0, bytes.length)
      let at = 0
      for (let kind = lexer.next(); kind !== Kind.end; kind = lexer.next()) {
        assert.equal(lexer.start, at)
        assert.ok(lexer.end > lexer.start && lexer.end <= bytes.length)
        at = lexer.end
      }
      assert.equal(at, bytes.length)
    }),
    { numRuns: 2000 },
  )
})
