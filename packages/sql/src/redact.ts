// Takes credentials out of text before anything may store it. Works on tokens, not on the tree, so that it also reads
// comments and the bodies of functions, and keeps every other byte as it was. Refuses to guess at positional values:
// `INSERT INTO users VALUES ('a', 'hunter2')` is data of the application, which masking and policy look after.
//
// What is covered: PASSWORD '…' of roles, user mappings and servers; CONNECTION '…' of subscriptions; any name that reads
// like a secret's, given a literal by =, :=, =>, TO, or standing right before it; SET and set_config of such a name;
// connection strings, URIs with a password, JWTs and PEM keys in any literal, comment or quoted name; every literal handed to
// dblink's connecting functions and to pgcrypto's functions that take a key or password; all of it again inside
// function bodies. Not covered: a secret put together at run time ('pass' || 'word=x') outside those functions.
import { isStringKind, Kind, Lexer } from './lexer.ts'

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const replaced = "'***'"

/** The text of `bytes[start, end)` without its credentials. The same string object costs one decode where none is there. */
export function withoutCredentials(bytes: Uint8Array, start: number, end: number): string {
  const text = decoder.decode(bytes.subarray(start, end))
  return trigger.test(text) ? redacted(bytes, start, end, 0) : text
}

/** Whether a literal, comment or name with this content gives a credential away by itself. */
export function tellsCredential(content: string): boolean {
  return content.length > 5 && credential.test(content)
}

/** The text with every literal replaced, for what could not be parsed. A comment stays only where it looks harmless. */
export function withoutLiterals(bytes: Uint8Array, start: number, end: number): string {
  const out = new Cutter(bytes, start, end)
  const lexer = new Lexer(bytes, start, end)
  for (let kind = lexer.next(); kind !== Kind.end; kind = lexer.next()) {
    if (isStringKind(kind)) out.replace(lexer.start, lexer.end, replaced)
    else if (kind === Kind.number) out.replace(lexer.start, lexer.end, '0')
    else if (kind === Kind.quotedWord || kind === Kind.unicodeWord) {
      // Outside PostgreSQL a double quote often holds a literal, and one that never closes may swallow some.
      if (lexer.open || kind === Kind.unicodeWord || !/^"[\p{L}_][\p{L}\p{N}_ ]*"$/u.test(slice(lexer)))
        out.replace(lexer.start, lexer.end, '"***"')
    } else if (kind === Kind.comment) out.replace(lexer.start, lexer.end, emptied(lexer))
  }
  return out.finish()
}

// One look before any work: without one of these nothing below can apply.
const trigger =
  /pass|pwd|secret|token|key|credential|connection|:\/\/|crypt|digest|hmac|pgp_|dblink|eyJ|u&"|[eE]'|u&'|_auth/i

const secretName =
  /pass(wo?r?d|phrase|code|key)?(_?hash)?$|passw|pwd|secret|credential|(^|[^a-z])(api|access|private|auth|bearer|session|refresh|signing|encryption)[_.-]?(key|token)|(^|[_.])token$/i

const credential = new RegExp(
  [
    // password=…, "password": …, password 'x', PGPASSWORD=…, pwd:…
    String.raw`(pass(wo?r?d|phrase|wd)?|pwd|secret|(api|access|private|auth)[_-]?(key|token))["']{0,2}\s*(=>|:=|=|:(?!:)|\s(to\s+)?(e|u&)?['$])`,
    // scheme://user:password@host
    String.raw`[a-z][a-z0-9+.-]*:\/\/[^\s/?#@]*:[^\s@]*@`,
    '[?&](pass(word|wd)?|pwd|token|secret)=',
    String.raw`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.`,
    '-----BEGIN [A-Z ]*PRIVATE KEY',
    String.raw`SCRAM-SHA-256\$\d+:`,
  ].join('|'),
  'i',
)

const secretCalls =
  /^(dblink(_connect(_u)?|_exec|_open|_send_query)?|crypt|hmac|digest|(raw_)?(en|de)crypt(_iv)?|pgp_(sym|pub)_(en|de)crypt(_bytea)?)$/

const nestingMax = 4

interface Seen {
  kind: Kind
  start: number
  end: number
  innerStart: number
  innerEnd: number
  /** Folded word, or the operator's byte as text; empty for literals. */
  word: string
}

function redacted(bytes: Uint8Array, start: number, end: number, nesting: number): string {
  const out = new Cutter(bytes, start, end)
  const tokens = significant(bytes, start, end, out)
  let statementFrom = 0
  for (let index = 0; index < tokens.length; index += 1) {
    const token = tokens[index] as Seen
    if (token.word === ';') statementFrom = index + 1
    if (token.word !== '' && token.word !== ';' && isWord(token.kind))
      redactAround(tokens, index, statementFrom, out)
    if (isWord(token.kind)) {
      if (token.kind !== Kind.word && tellsCredential(token.word))
        out.replace(token.start, token.end, '"***"')
    } else if (isStringKind(token.kind) && !out.has(token.start)) {
      redactLiteral(bytes, token, nesting, out)
    }
  }
  return out.finish()
}

/** What a word says about the literals behind it. */
function redactAround(tokens: readonly Seen[], index: number, statementFrom: number, out: Cutter): void {
  const word = (tokens[index] as Seen).word
  const next = tokens[index + 1]
  if (next === undefined) return
  if (word === 'connection' && isStringKind(next.kind)) out.replace(next.start, next.end, replaced)
  else if (next.word === '(' && secretCalls.test(word)) redactCall(tokens, index + 1, 0, out)
  else if (next.word === '(' && word === 'set_config') {
    const name = tokens[index + 2]
    // A name that is not a plain literal may be anybody's.
    if (name === undefined || name.kind !== Kind.string || secretName.test(contentOf(name, out)))
      redactCall(tokens, index + 1, 1, out)
  } else if (secretName.test(word)) {
    const first = tokens[statementFrom]?.word
    if (first === 'set' || first === 'alter') redactSetting(tokens, index + 1, out)
    let at = index + 1
    while (/^[=:>]$|^to$|^like$|^in$|^\($|^<$|^!$|^~$/.test(tokens[at]?.word ?? ' ')) at += 1
    for (let value = tokens[at]; value !== undefined && isStringKind(value.kind); value = tokens[at]) {
      out.replace(value.start, value.end, replaced)
      at += tokens[at + 1]?.word === ',' ? 2 : 1
    }
  }
}

/** Every string within the parentheses that open at `open`, from argument `from` on. */
function redactCall(tokens: readonly Seen[], open: number, from: number, out: Cutter): void {
  let depth = 0
  let argument = 0
  for (let at = open; at < tokens.length; at += 1) {
    const token = tokens[at] as Seen
    if (token.word === '(') depth += 1
    else if (token.word === ')') {
      depth -= 1
      if (depth === 0) return
    } else if (token.word === ',' && depth === 1) argument += 1
    else if (isStringKind(token.kind) && argument >= from) out.replace(token.start, token.end, replaced)
  }
}

/** SET my.secret TO hunter2: a value without quotes is one too. */
function redactSetting(tokens: readonly Seen[], from: number, out: Cutter): void {
  const sign = tokens[from]?.word
  if (sign !== '=' && sign !== 'to') return
  for (let at = from + 1; at < tokens.length && (tokens[at] as Seen).word !== ';'; at += 1) {
    const token = tokens[at] as Seen
    if (token.word !== ',' && token.word !== 'default' && !/^(where|from|returning)$/.test(token.word)) {
      if (token.kind === Kind.other || token.word === 'null') return
      out.replace(token.start, token.end, replaced)
      if (tokens[at + 1]?.word !== ',') return
    }
  }
}

function redactLiteral(bytes: Uint8Array, token: Seen, nesting: number, out: Cutter): void {
  const content = contentOf(token, out)
  if (token.kind === Kind.dollarString && nesting < nestingMax) {
    const inner = redacted(bytes, token.innerStart, token.innerEnd, nesting + 1)
    if (!tellsCredential(inner.replaceAll(/'\*\*\*'/g, ''))) {
      out.replace(token.innerStart, token.innerEnd, inner)
      return
    }
  }
  if (tellsCredential(content)) out.replace(token.start, token.end, replaced)
}

/** What a literal or quoted name says once its escapes are read, so that `E'p\141ssword='` hides nothing. */
function contentOf(token: Seen, out: Cutter): string {
  const raw = decoder.decode(out.bytes.subarray(token.innerStart, token.innerEnd))
  if (token.kind === Kind.escapeString) return unescaped(raw)
  if (token.kind === Kind.unicodeString || token.kind === Kind.unicodeWord) return unicodeUnescaped(raw)
  return raw
}

function unescaped(raw: string): string {
  return raw.replaceAll(
    /\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))/gs,
    (_, hex?: string, four?: string, eight?: string, octal?: string, plain?: string) => {
      const code = hex ?? four ?? eight
      if (code !== undefined) return codePoint(Number.parseInt(code, 16))
      if (octal !== undefined) return codePoint(Number.parseInt(octal, 8) & 0xff)
      return plain ?? ''
    },
  )
}

// Any sign may be the escape sign (UESCAPE '!'), so every one that four or six digits follow is read as one.
function unicodeUnescaped(raw: string): string {
  return raw.replaceAll(
    /[^0-9a-fA-F\s'"+](?:\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4}))/g,
    (_, six?: string, four?: string) => codePoint(Number.parseInt(six ?? four ?? '', 16)),
  )
}

function codePoint(code: number): string {
  return code <= 0x10ffff ? String.fromCodePoint(code) : '?'
}

/** All tokens but space and comments; comments that tell a credential are emptied on the way. */
function significant(bytes: Uint8Array, start: number, end: number, out: Cutter): readonly Seen[] {
  const tokens: Seen[] = []
  const lexer = new Lexer(bytes, start, end)
  for (let kind = lexer.next(); kind !== Kind.end; kind = lexer.next()) {
    if (kind === Kind.space) continue
    if (kind === Kind.comment) {
      if (tellsCredential(`${slice(lexer)} `)) out.replace(lexer.start, lexer.end, emptied(lexer))
      continue
    }
    const quoted = isStringKind(kind) || kind === Kind.quotedWord || kind === Kind.unicodeWord
    const token: Seen = {
      kind,
      start: lexer.start,
      end: lexer.end,
      innerStart: quoted ? lexer.innerStart(kind) : lexer.start,
      innerEnd: quoted ? lexer.innerEnd(kind) : lexer.end,
      word: '',
    }
    if (!isStringKind(kind)) token.word = quoted ? contentOf(token, out) : slice(lexer).toLowerCase()
    tokens.push(token)
  }
  return tokens
}

function isWord(kind: Kind): boolean {
  return kind === Kind.word || kind === Kind.quotedWord || kind === Kind.unicodeWord
}

function slice(lexer: Lexer): string {
  return decoder.decode(lexer.bytes.subarray(lexer.start, lexer.end))
}

function emptied(lexer: Lexer): string {
  return lexer.bytes[lexer.start] === 0x2d ? '-- ***' : '/* *** */'
}

/** Collects what is to be replaced, then copies everything else byte for byte. */
class Cutter {
  readonly bytes: Uint8Array
  readonly #start: number
  readonly #end: number
  readonly #cuts = new Map<number, { readonly end: number; readonly by: string }>()

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes
    this.#start = start
    this.#end = end
  }

  replace(start: number, end: number, by: string): void {
    this.#cuts.set(start, { end, by })
  }

  has(start: number): boolean {
    return this.#cuts.has(start)
  }

  finish(): string {
    const starts = [...this.#cuts.keys()].sort((left, right) => left - right)
    let text = ''
    let at = this.#start
    for (const start of starts) {
      const cut = this.#cuts.get(start)
      if (cut === undefined || start < at) continue
      text += decoder.decode(this.bytes.subarray(at, start)) + cut.by
      at = cut.end
    }
    return text + decoder.decode(this.bytes.subarray(at, this.#end))
  }
}
