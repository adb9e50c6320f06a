/**
 * Reads just enough of a ClickHouse statement to run it safely on the embedded engine, whose parser is that of a command
 * line: it runs several statements from one text, and takes inline data of an INSERT to end at a blank line and the rest
 * for SQL. A server does neither. So this splits the data off, finds the output format, and refuses what a server would.
 * It never rewrites SQL, and what it cannot make out it leaves to the engine's own parser to refuse.
 */
export function readStatement(text: string): Statement {
  const tokens = scan(text)
  const insert = tokens[0]?.word === 'INSERT'
  const dataAt = insert ? inlineDataAt(tokens) : undefined
  const head = dataAt === undefined ? tokens : tokens.slice(0, dataAt.tokens)
  const semicolon = head.findIndex((token) => token.word === ';')
  if (semicolon >= 0 && semicolon < tokens.length - 1)
    throw new StatementError('Multi-statements are not allowed: send one statement a request')
  for (const token of head)
    if (token.word === 'INFILE' || token.word === 'OUTFILE')
      throw new StatementError(
        `${token.word} reads or writes files of the client, which only a command line can`,
      )
  if (dataAt !== undefined) return insertOf(text, head, dataAt)
  const sql = semicolon >= 0 ? text.slice(0, tokens[semicolon]?.start) : text
  if (insert) return { kind: 'command', sql }
  const format = outputFormat(tokens)
  const streams = tokens[0]?.word === 'SELECT' || tokens[0]?.word === 'WITH'
  return { kind: 'query', sql, streams, ...(format === undefined ? {} : { format }) }
}

export type Statement =
  | { readonly kind: 'query'; readonly sql: string; readonly format?: string; readonly streams: boolean }
  | { readonly kind: 'command'; readonly sql: string }
  | InsertStatement

export interface InsertStatement {
  readonly kind: 'insert'
  /** Up to SETTINGS, FORMAT or VALUES, whichever comes first. */
  readonly sql: string
  /** `SETTINGS ...`, or empty. */
  readonly settings: string
  readonly format: string
  /** Where in the text its data starts; it goes on in the request's body. */
  readonly dataFrom: number
}

/** The text is not one statement that a server would take. */
export class StatementError extends Error {}

interface Token {
  /** Upper case for words outside quotes, the character itself for punctuation, '' for anything quoted. */
  readonly word: string
  readonly start: number
  readonly end: number
  /** How many parentheses are open around it. */
  readonly depth: number
}

function insertOf(text: string, head: readonly Token[], dataAt: DataAt): InsertStatement {
  const settings = head.find(({ word, depth }, index) => index >= 3 && depth === 0 && word === 'SETTINGS')
  const end = settings?.start ?? dataAt.sqlEnd
  return {
    kind: 'insert',
    sql: text.slice(0, end),
    settings: text.slice(end, dataAt.sqlEnd),
    format: dataAt.format,
    dataFrom: dataAt.from,
  }
}

interface DataAt {
  readonly tokens: number
  readonly sqlEnd: number
  readonly from: number
  readonly format: string
}

/** Where an INSERT's own data begins, or undefined where it takes its rows from a SELECT. */
function inlineDataAt(tokens: readonly ScannedToken[]): DataAt | undefined {
  for (const [index, token] of tokens.entries()) {
    if (token.depth > 0) continue
    if (token.word === 'SELECT' || token.word === 'WITH' || token.word === 'WATCH') return undefined
    // INSERT INTO values ... names a table: the keyword follows at least INSERT INTO name.
    if (token.word === 'VALUES' && index >= 3)
      return { tokens: index, sqlEnd: token.start, from: token.end, format: 'Values' }
    if (token.word === 'FORMAT' && index >= 3) {
      const name = tokens[index + 1]
      if (!name || !/^[A-Z][A-Z0-9]*$/.test(name.word)) return undefined
      return { tokens: index, sqlEnd: token.start, from: name.end, format: name.text }
    }
  }
  return undefined
}

function outputFormat(tokens: readonly ScannedToken[]): string | undefined {
  for (let index = tokens.length - 2; index > 0; index--) {
    const token = tokens[index]
    if (token?.word === 'FORMAT' && token.depth === 0) return tokens[index + 1]?.text
  }
  return undefined
}

interface ScannedToken extends Token {
  readonly text: string
}

/** Data of an INSERT does not count. */
const statementBytesMax = 1024 * 1024

const space = /[\s\u00a0\ufeff]/
const wordStart = /[A-Za-z_]/
const wordPart = /[A-Za-z0-9_]/

/** Stops early once an INSERT's data begins, so that megabytes of data are never scanned as SQL. */
function scan(text: string): ScannedToken[] {
  const tokens: ScannedToken[] = []
  let depth = 0
  let at = 0
  const add = (word: string, start: number, end: number) =>
    tokens.push({ word, start, end, depth, text: text.slice(start, end) })
  while (at < text.length) {
    if (at > statementBytesMax)
      throw new StatementError(
        `Max query size exceeded: the statement is longer than ${statementBytesMax} bytes`,
      )
    const char = text[at] ?? ''
    const skipped = skipBlank(text, at, char)
    if (skipped > at) {
      at = skipped
      continue
    }
    const start = at
    if (wordStart.test(char)) {
      do at++
      while (at < text.length && wordPart.test(text[at] ?? ''))
      const word = text.slice(start, at).toUpperCase()
      add(word, start, at)
      if (tokens[0]?.word === 'INSERT' && beginsData(tokens)) return tokens
    } else if (char === "'" || char === '"' || char === '`') {
      at = quotedEnd(text, at, char)
      add('', start, at)
    } else if (char === '$' && heredoc(text, at) !== undefined) {
      at = heredoc(text, at) ?? text.length
      add('', start, at)
    } else {
      if (char === ')') depth = Math.max(0, depth - 1)
      add(char, start, ++at)
      if (char === '(') depth++
    }
  }
  return tokens
}

function beginsData(tokens: readonly ScannedToken[]): boolean {
  const last = tokens.at(-1)
  const before = tokens.at(-2)
  if (!last || last.depth > 0 || tokens.some(({ word, depth }) => depth === 0 && word === 'SELECT'))
    return false
  if (tokens.length > 3 && last.word === 'VALUES') return true
  return tokens.length > 4 && before?.word === 'FORMAT' && before.depth === 0
}

function skipBlank(text: string, at: number, char: string): number {
  if (space.test(char)) return at + 1
  const two = text.slice(at, at + 2)
  if (two === '--' || two === '# ' || two === '#!') {
    const end = text.indexOf('\n', at)
    return end < 0 ? text.length : end + 1
  }
  if (two === '/*') {
    const end = text.indexOf('*/', at + 2)
    return end < 0 ? text.length : end + 2
  }
  return at
}

/** After the closing quote; the end of the text where there is none. A backslash and a doubled quote both escape. */
function quotedEnd(text: string, at: number, quote: string): number {
  for (let index = at + 1; index < text.length; index++) {
    if (text[index] === '\\') index++
    else if (text[index] === quote) {
      if (text[index + 1] !== quote) return index + 1
      index++
    }
  }
  return text.length
}

/** After the end of `$tag$ ... $tag$`, or undefined where none starts here. */
function heredoc(text: string, at: number): number | undefined {
  const tag = /^\$\w*\$/.exec(text.slice(at, at + 128))?.[0]
  if (tag === undefined) return undefined
  const end = text.indexOf(tag, at + tag.length)
  return end < 0 ? undefined : end + tag.length
}
