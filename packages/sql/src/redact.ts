// Takes credentials out of text before anything may store it. Works on tokens, not on the tree, so that it also reads
// comments and the bodies of functions, and keeps every other byte as it was. Refuses to guess at positional values:
// `INSERT INTO users VALUES ('a', 'hunter2')` is data of the application, which masking and policy look after.
//
// What is covered: PASSWORD '…' of roles, user mappings and servers; CONNECTION '…' of subscriptions; any name that reads
// like a secret's, given a literal by =, :=, =>, TO, IN, or standing right before it; SET and set_config of such a name;
// connection strings, URIs with a password, JWTs, SCRAM verifiers and PEM keys in any literal, comment or quoted name;
// every literal handed to dblink's connecting functions and to pgcrypto's functions that take a key or password; all of
// it again inside function bodies. Not covered: a secret put together at run time ('pass' || 'word=x') elsewhere.
import { namesSecret, takesSecret, tellsCredential, trigger } from './credentials.ts'
import { Cutter, contentOf, view } from './cutter.ts'
import { isStringKind, Kind, Lexer } from './lexer.ts'

/** `password %L`, as format() fills it in. */
const secretPattern = /pass(wo?r?d|phrase)?|pwd|secret|token|key/i

const replaced = "'***'"
const nestingMax = 4

/** The text of `bytes[start, end)` without its credentials. Costs one decode and one look where none can be there. */
export function withoutCredentials(bytes: Uint8Array, start: number, end: number): string {
  const buffer = view(bytes)
  const text = buffer.toString('utf8', start, end)
  return trigger.test(text) ? new Redaction(buffer, start, end, 0).finish() : text
}

/** The text with every literal replaced, for what could not be parsed. Comments are emptied. */
export function withoutLiterals(bytes: Uint8Array, start: number, end: number): string {
  const out = new Cutter(view(bytes), start, end)
  const lexer = new Lexer(bytes, start, end)
  // Behind a secret's name a bare word may be the secret: `PASSWORD hunter2` is an error that people make.
  let behindSecret = false
  for (let kind = lexer.next(); kind !== Kind.end; kind = lexer.next()) {
    if (kind === Kind.space) continue
    if (isStringKind(kind)) out.replace(lexer.start, lexer.end, replaced)
    else if (kind === Kind.number) out.replace(lexer.start, lexer.end, '0')
    else if (kind === Kind.comment) out.replace(lexer.start, lexer.end, emptied(lexer))
    else if (kind === Kind.quotedWord || kind === Kind.unicodeWord) {
      // Elsewhere a double quote holds a literal, and one that never closes may swallow some: only a part of a
      // qualified name is sure to be a name.
      if (!isQualified(out.bytes, lexer)) out.replace(lexer.start, lexer.end, '"***"')
    } else if (kind === Kind.word) {
      const word = slice(out, lexer).toLowerCase()
      if (behindSecret && !neverSecret.test(word)) out.replace(lexer.start, lexer.end, '***')
      behindSecret = namesSecret(word) || (behindSecret && word === 'to')
      continue
    } else if (behindSecret && /[=:>]/.test(slice(out, lexer))) continue
    behindSecret = false
  }
  return out.finish()
}

/** `password = text 'x'`, `password is not distinct from 'x'`, `password varchar(20) := 'x'` (the length is no word). */
const betweenNameAndValue =
  /^([=:>(<!~)]|to|like|ilike|in|not|distinct|from|similar|default|text|name|varchar|character|char|varying|bpchar|bytea|citext|jsonb?)$/

const neverSecret =
  /^(and|as|by|char|default|from|in|is|like|not|null|or|text|then|to|valid|varchar|where|with)$/

function isQualified(bytes: Buffer, lexer: Lexer): boolean {
  return !lexer.open && (bytes[lexer.start - 1] === 0x2e || bytes[lexer.end] === 0x2e)
}

interface Token {
  readonly kind: Kind
  readonly start: number
  readonly end: number
  readonly innerStart: number
  readonly innerEnd: number
  /** A word as PostgreSQL folds it, or an operator's byte; empty for literals. */
  readonly word: string
}

class Redaction {
  readonly #out: Cutter
  readonly #tokens: readonly Token[]
  readonly #nesting: number
  /** Literals of calls before this token are dealt with, so that calls within calls cost nothing more. */
  #callsUntil = 0

  constructor(bytes: Buffer, start: number, end: number, nesting: number) {
    this.#out = new Cutter(bytes, start, end)
    this.#nesting = nesting
    this.#tokens = this.#significant(new Lexer(bytes, start, end))
  }

  finish(): string {
    let verb = ''
    let fresh = true
    for (const [index, token] of this.#tokens.entries()) {
      if (fresh) verb = token.word
      fresh = token.word === ';'
      if (isWord(token.kind)) this.#word(index, token, verb)
      else if (isStringKind(token.kind) && !this.#out.has(token.start)) this.#literal(token)
    }
    return this.#out.finish()
  }

  /** What a word says about itself and about the literals behind it. */
  #word(index: number, token: Token, verb: string): void {
    const next = this.#tokens[index + 1]
    if (token.kind !== Kind.word && tellsCredential(token.word))
      this.#out.replace(token.start, token.end, '"***"')
    if (namesSecret(token.word.toLowerCase())) this.#valueBefore(index)
    if (next === undefined) return
    if (token.word === 'connection' && isStringKind(next.kind)) this.#cut(next)
    else if (next.word === '(' && takesSecret(token.word)) this.#call(index + 1, 0)
    else if (next.word === '(' && token.word === 'set_config') {
      const name = this.#tokens[index + 2]
      // A name that is not a plain literal may be anybody's.
      if (name?.kind !== Kind.string || namesSecret(this.#content(name).toLowerCase()))
        this.#call(index + 1, 1)
    } else if (next.word === '(' && token.word === 'format') {
      const pattern = this.#tokens[index + 2]
      if (pattern !== undefined && isStringKind(pattern.kind) && secretPattern.test(this.#content(pattern)))
        this.#call(index + 1, 1)
    } else if (namesSecret(token.word.toLowerCase())) {
      if (verb === 'set' || verb === 'alter') this.#setting(index + 1)
      this.#value(index + 1)
    }
  }

  /** Behind a secret's name: an operator or none, then a literal, a list or concatenation of them, or a call. */
  #value(from: number): void {
    let at = from
    // COMMENT ON COLUMN users.password IS '…' tells no password.
    if (this.#tokens[at]?.word === 'is' && /^(not|distinct)$/.test(this.#tokens[at + 1]?.word ?? '')) at += 1
    while (betweenNameAndValue.test(this.#tokens[at]?.word ?? '')) at += 1
    const head = this.#tokens[at]
    if (head !== undefined && isWord(head.kind) && at > from && this.#tokens[at + 1]?.word === '(')
      this.#call(at + 1, 0)
    for (
      let value = this.#tokens[at];
      value !== undefined && isStringKind(value.kind);
      value = this.#tokens[at]
    ) {
      this.#cut(value)
      at += 1
      while (this.#tokens[at]?.word === ':') at += this.#tokens[at + 1]?.word === ':' ? 3 : 1
      while (/^[,|]$/.test(this.#tokens[at]?.word ?? '')) at += 1
    }
  }

  /** `'x' = password`, also where the name is qualified. */
  #valueBefore(name: number): void {
    let at = name - 1
    while (this.#tokens[at]?.word === '.') at -= 2
    if (!/^[=<>!~]$/.test(this.#tokens[at]?.word ?? '')) return
    while (/^[=<>!~]$/.test(this.#tokens[at]?.word ?? '')) at -= 1
    const value = this.#tokens[at]
    if (value !== undefined && isStringKind(value.kind)) this.#cut(value)
  }

  /** Every string within the parentheses that open at `open`, from argument `from` on. */
  #call(open: number, from: number): void {
    if (open < this.#callsUntil) return
    let depth = 0
    let argument = 0
    for (let at = open; at < this.#tokens.length; at += 1) {
      const token = this.#tokens[at] as Token
      if (from === 0) this.#callsUntil = at
      if (token.word === '(') depth += 1
      else if (token.word === ')') depth -= 1
      else if (token.word === ',' && depth === 1) argument += 1
      else if (isStringKind(token.kind) && argument >= from) this.#cut(token)
      if (depth === 0) return
    }
  }

  /** SET my.secret TO hunter2: a value without quotes is one too. */
  #setting(from: number): void {
    const sign = this.#tokens[from]?.word
    const value = this.#tokens[from + 1]
    if (value === undefined || (sign !== '=' && sign !== 'to')) return
    if (value.kind !== Kind.other && value.word !== 'default') this.#cut(value)
  }

  #literal(token: Token): void {
    if (token.kind === Kind.dollarString && this.#nesting < nestingMax) {
      const { bytes } = this.#out
      const body = new Redaction(bytes, token.innerStart, token.innerEnd, this.#nesting + 1).finish()
      if (!tellsCredential(body.replaceAll(replaced, ''))) {
        this.#out.replace(token.innerStart, token.innerEnd, body)
        return
      }
    }
    if (tellsCredential(this.#content(token))) this.#cut(token)
  }

  #cut(token: Token): void {
    this.#out.replace(token.start, token.end, replaced)
  }

  #content(token: Token): string {
    return contentOf(this.#out.bytes, token.kind, token.innerStart, token.innerEnd)
  }

  /** All tokens but space and comments; comments that tell a credential are emptied on the way. */
  #significant(lexer: Lexer): readonly Token[] {
    const tokens: Token[] = []
    for (let kind = lexer.next(); kind !== Kind.end; kind = lexer.next()) {
      if (kind === Kind.space) continue
      if (kind === Kind.comment) {
        if (tellsCredential(`${slice(this.#out, lexer)} `))
          this.#out.replace(lexer.start, lexer.end, emptied(lexer))
        continue
      }
      const { start, end } = lexer
      const literal = isStringKind(kind)
      const quoted = literal || kind === Kind.quotedWord || kind === Kind.unicodeWord
      const innerStart = quoted ? lexer.innerStart(kind) : start
      const innerEnd = quoted ? lexer.innerEnd(kind) : end
      const folded = literal ? '' : contentOf(this.#out.bytes, kind, innerStart, innerEnd)
      tokens.push({ kind, start, end, innerStart, innerEnd, word: quoted ? folded : folded.toLowerCase() })
    }
    return tokens
  }
}

function isWord(kind: Kind): boolean {
  return kind === Kind.word || kind === Kind.quotedWord || kind === Kind.unicodeWord
}

function slice(out: Cutter, lexer: Lexer): string {
  return out.bytes.toString('utf8', lexer.start, lexer.end)
}

function emptied(lexer: Lexer): string {
  return lexer.bytes[lexer.start] === 0x2d ? '-- ***' : '/* *** */'
}
