/**
 * E-mail addresses (RFC 5321, as they are used: no quoted local part, no address literal). Refuses what only looks like
 * one: `git@host:path`, `lodash@4.17.21`, `icon@2x.png`, `getty@tty1.service`.
 */
import { isLetter, isWord } from './bytes.ts'
import type { Span } from '@portcullis/kernel'

const localMax = 64
const domainMax = 253

/** The address around the `@` at `sign`. `start`: what stands before has been looked at already. */
export function email(bytes: Uint8Array, start: number, sign: number, limit: number): Span | undefined {
  let from = sign
  const least = Math.max(start, sign - localMax - 1)
  while (from > least) {
    const byte = bytes[from - 1] as number
    if (byte >= 0x80) {
      const lead = leadOf(bytes, from - 1, least)
      if (!isForeignLetter(bytes, lead)) break
      from = lead
    } else if (isLocal(byte)) from -= 1
    else break
  }
  while (from < sign && (bytes[from] === 0x2e || bytes[from] === 0x27)) from += 1
  if (from === sign || sign - from > localMax || bytes[sign - 1] === 0x2e) return undefined
  const end = domainEnd(bytes, sign + 1, limit)
  if (end === -1) return undefined
  const local = sign - from === 3 ? Buffer.from(bytes.subarray(from, sign)).toString('latin1') : ''
  if (local === 'git' && (bytes[end] === 0x3a || bytes[end] === 0x2f)) return undefined
  return { kind: 'email', start: from, end }
}

const noDomain =
  /^(avif|bmp|conf|cpp|css|csv|gif|h|heic|html?|ico|ini|jpe?g|jsx?|json|map|mount|pdf|png|scss|service|socket|svg|target|timer|tsx?|txt|webp|xml|ya?ml)$/

function domainEnd(bytes: Uint8Array, from: number, limit: number): number {
  const most = Math.min(limit, from + domainMax)
  let index = from
  let dot = -1
  let end = -1
  while (index < most) {
    const labelStart = index
    while (index < most && isLabel(bytes, index)) index += 1
    if (index === labelStart || bytes[labelStart] === 0x2d) break
    if (dot !== -1 && isTop(bytes, labelStart, index)) end = index
    if (index >= most || bytes[index] !== 0x2e) break
    dot = index
    index += 1
  }
  return end
}

function isTop(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start
  if (length < 2 || length > 24 || bytes[end - 1] === 0x2d) return false
  if ((bytes[start] as number) >= 0x80) return true
  // xn-- is the one form of a top-level domain with digits and hyphens.
  const isPlain = isLetter(bytes[start]) && isLetter(bytes[start + 1])
  if (!isPlain) return false
  const label = Buffer.from(bytes.buffer, bytes.byteOffset + start, length)
    .toString('latin1')
    .toLowerCase()
  return (/^[a-z]+$/.test(label) && !noDomain.test(label)) || label.startsWith('xn--')
}

function isLocal(byte: number): boolean {
  if (isWord(byte)) return true
  // RFC 5322's atext without what stands between addresses and around values: / = ? ` { | } & $ # * ! ^
  return (
    byte === 0x2e ||
    byte === 0x5f ||
    byte === 0x25 ||
    byte === 0x2b ||
    byte === 0x2d ||
    byte === 0x27 ||
    byte === 0x7e
  )
}

function isLabel(bytes: Uint8Array, index: number): boolean {
  const byte = bytes[index] as number
  if (byte < 0x80) return isWord(byte) || byte === 0x2d
  return byte < 0xc0 || isForeignLetter(bytes, index)
}

function leadOf(bytes: Uint8Array, index: number, least: number): number {
  let lead = index
  while (lead > least && (bytes[lead] as number) < 0xc0) lead -= 1
  return lead
}

/** Not the signs of Latin-1, nor quotation marks and hard spaces, which stand around words in many languages. */
function isForeignLetter(bytes: Uint8Array, lead: number): boolean {
  const byte = bytes[lead] as number
  const next = bytes[lead + 1] as number
  if (byte === 0xe2) return next > 0x81
  return byte > 0xc2 && !(byte === 0xe3 && next === 0x80) && !(byte === 0xef && next >= 0xbc)
}
