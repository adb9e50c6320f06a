/**
 * A JSON text with what is found in it replaced, still JSON: a bare number becomes a string, and strings with escapes are
 * read as what they say. Refuses to parse the whole: a value may be large, and its spacing and order are not ours.
 */
import type { Detect, Span } from '@portcullis/kernel'
import { type Replace, replaced } from './spans.ts'

/** undefined where nothing is found. `bytes[start, end)` is valid JSON, as PostgreSQL makes sure. */
export function maskJson(
  bytes: Buffer,
  start: number,
  end: number,
  detect: Detect,
  replace: Replace,
): Buffer | undefined {
  const spans = detect(bytes, start, end)
  const backslash = bytes.indexOf(0x5c, start)
  if (spans.length === 0 && (backslash === -1 || backslash >= end)) return undefined
  const parts: Buffer[] = []
  let taken = start
  let next = 0
  for (const token of tokensOf(bytes, start, end)) {
    while (next < spans.length && (spans[next] as Span).end <= token.start) next += 1
    const inside: Span[] = []
    for (let index = next; index < spans.length && (spans[index] as Span).start < token.end; index += 1)
      inside.push(spans[index] as Span)
    const masked = token.isEscaped
      ? maskEscaped(bytes, token, inside, detect, replace)
      : maskPlain(bytes, token, inside, replace)
    if (masked === undefined) continue
    parts.push(bytes.subarray(taken, token.start), masked)
    taken = token.end
  }
  if (taken === start) return undefined
  parts.push(bytes.subarray(taken, end))
  return Buffer.concat(parts)
}

interface Token {
  readonly start: number
  readonly end: number
  readonly isString: boolean
  readonly isEscaped: boolean
}

const quote = 0x22

function maskPlain(
  bytes: Buffer,
  token: Token,
  spans: readonly Span[],
  replace: Replace,
): Buffer | undefined {
  const [first] = spans
  if (first === undefined) return undefined
  const edge = token.isString ? 1 : 0
  const start = token.start + edge
  const end = token.end - edge
  // What is found may begin or end outside; what stands for it must not.
  const within = spans
    .map((span) => ({ ...span, start: Math.max(span.start, start), end: Math.min(span.end, end) }))
    .filter((span) => span.start < span.end)
  if (within.length === 0) return undefined
  const text = replaced(bytes, start, end, within, replace)
  return Buffer.concat([Buffer.of(quote), text, Buffer.of(quote)])
}

function maskEscaped(
  bytes: Buffer,
  token: Token,
  spans: readonly Span[],
  detect: Detect,
  replace: Replace,
): Buffer | undefined {
  const text = Buffer.from(saidBy(bytes.toString('utf8', token.start, token.end)))
  const inside = detect(text, 0, text.length)
  if (inside.length > 0)
    return Buffer.from(JSON.stringify(replaced(text, 0, text.length, inside, replace).toString()))
  const [first] = spans
  // Found only together with what stands around it.
  return first && Buffer.from(JSON.stringify(replace(first.kind, text, 0, text.length)))
}

function saidBy(token: string): string {
  try {
    return String(JSON.parse(token))
  } catch {
    return token.slice(1, -1)
  }
}

/** Strings and bare scalars, in order. */
function* tokensOf(bytes: Buffer, start: number, end: number): Generator<Token> {
  let at = start
  while (at < end) {
    const byte = bytes[at] as number
    const from = at++
    if (byte === quote) {
      let isEscaped = false
      while (at < end && bytes[at] !== quote) {
        if (bytes[at] === 0x5c) {
          isEscaped = true
          at += 1
        }
        at += 1
      }
      at = Math.min(end, at + 1)
      yield { start: from, end: at, isString: true, isEscaped }
    } else if (isScalar(byte)) {
      while (at < end && isScalar(bytes[at] as number)) at += 1
      yield { start: from, end: at, isString: false, isEscaped: false }
    }
  }
}

/** A sign of a number, true, false or null. */
function isScalar(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    ((byte | 0x20) - 0x61 < 26 && (byte | 0x20) >= 0x61) ||
    byte === 0x2b ||
    byte === 0x2d ||
    byte === 0x2e
  )
}
