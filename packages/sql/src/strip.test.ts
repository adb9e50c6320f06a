import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { tellsCredential } from './credentials.ts'
import { Kind, Lexer } from './lexer.ts'
import { Stripper } from './strip.ts'
import { corpus } from './testing/corpus.ts'

const stripper = new Stripper()

function key(text: string): string | undefined {
  const sql = Buffer.from(text)
  return stripper.strip(sql, 0, sql.length)
    ? Buffer.from(stripper.key.subarray(0, stripper.keyBytes)).toString('latin1')
    : undefined
}

/** The same by the lexer, which is held to PostgreSQL's scanner: slower, and plain to see. */
function keyByLexer(text: string): string {
  const sql = Buffer.from(text)
  const lexer = new Lexer(sql, 0, sql.length)
  let key = ''
  for (let kind = lexer.next(); kind !== Kind.end; kind = lexer.next()) {
    const token = sql.subarray(lexer.start, lexer.end).toString('latin1')
    if (kind === Kind.string && token.startsWith("'")) key += '\x01'
    else if (kind === Kind.number && /^\d{1,9}$/.test(token) && !besideDot(sql, lexer)) key += '\x02'
    else key += token
  }
  return key
}

/** Where a dot or $ touches a number the stripper keeps it as it is: safe, and rare. */
function besideDot(sql: Buffer, lexer: Lexer): boolean {
  return [0x2e, 0x24].some((byte) => sql[lexer.start - 1] === byte || sql[lexer.end] === byte)
}

test('only plain strings and short whole numbers are left out', () => {
  assert.equal(key("select a1, 12, 'x' from t where b = 3"), 'select a1, \x02, \x01 from t where b = \x02')
  assert.equal(key('select $1, 1.5, .5, 1e3, 0x1F, 1234567890'), 'select $1, 1.5, .5, 1e3, 0x1F, 1234567890')
  assert.equal(key('select "a 1", "b""2"'), 'select "a 1", "b""2"')
  assert.equal(key("select 'it''s'"), 'select \x01')
  for (const refused of [
    "E'a'",
    "U&'a'",
    "n'a'",
    "b'1'",
    '$$a$$',
    '1 -- x',
    '/* x */ 1',
    "'a'\n'b'",
    "'é'",
    "'open",
    '"open',
    "'a\0'",
    "0x1F$$1,'a'",
    '12E-1',
    '\x01',
    'U&"a"',
  ])
    assert.equal(key(`select ${refused}`), undefined, refused)
})

const pieces = fc.constantFrom(
  ...[
    "'",
    "''",
    "'a'",
    '"',
    '""',
    'E',
    'U&',
    '$',
    '$1',
    '\\',
    '--',
    '/',
    '*',
    '\n',
    ' ',
    ';',
    '1',
    '12',
    '0x1F',
    '1.5',
    '.',
    '..',
    'e3',
    'é',
    'a',
    '_',
    '&',
    '=',
    '-',
    ',',
  ],
)

test('the key is what the lexer makes of the text, wherever there is one', () => {
  let compared = 0
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 20 }), (parts) => {
      const text = parts.join('')
      const found = key(text)
      if (found === undefined) return
      compared += 1
      assert.equal(found, keyByLexer(text), JSON.stringify(text))
    }),
    { numRuns: 8000 },
  )
  assert.ok(compared > 1000, `only ${compared} texts had a key`)
  for (const block of corpus()) {
    const found = key(block.sql)
    if (found !== undefined) assert.equal(found, keyByLexer(block.sql))
  }
})

test('a literal that gives a credential away is always suspicious', () => {
  const word = fc.constantFrom(
    'password',
    'PGPASSWORD',
    'pwd',
    'secret',
    'api_key',
    'a',
    '1',
    'eyJ',
    '.',
    'AAAAAAAAAA',
  )
  const sign = fc.constantFrom(
    '=',
    ':',
    ' ',
    "''",
    '$',
    '://',
    '@',
    '-----BEGIN PRIVATE KEY',
    '-----BEGIN RSA PRIVATE KEY',
    '"',
    'SCRAM-SHA-256$4096:',
    '?pwd=',
    'to ',
    '.',
  )
  let telling = 0
  fc.assert(
    fc.property(fc.array(fc.oneof(word, sign), { maxLength: 8 }), (parts) => {
      const content = parts.join('')
      if (!tellsCredential(content.replaceAll("''", "'")) && !tellsCredential(content)) return
      telling += 1
      assert.equal(key(`select '${content}'`) === undefined || stripper.suspicious, true, content)
    }),
    { numRuns: 8000 },
  )
  assert.ok(telling > 300, `only ${telling} contents told a credential`)
})
