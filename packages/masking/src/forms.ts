/**
 * The form of a column: what is shown of its values, by the method that the rule names and by their type. A value that is
 * not NULL stays valid for its type and format. Where a method has nothing for a type: `redact` shows what says nothing,
 * or NULL for a type that nobody knows here; `partial` the same; `hash`, `fake` and `null` show NULL, since rows joined by
 * a constant would all be one another's.
 */
import type { MaskForm } from '@portcullis/kernel'
import { always, type Form, nothing } from './form.ts'
import type { Keyed } from './keyed.ts'
import { type Format, type Kind, type KindOf, kindOf, type TypeOf } from './kinds.ts'
import { plainOf } from './plain.ts'
import { fakeText, hashJson, hashText, partialText, streamOf } from './texts.ts'
import { type Codec, codecs } from './values.ts'

/** `keyed`: absent where no key was configured, without which `hash` and `fake` show NULL. */
export function formOf(type: TypeOf, { method, keep }: MaskForm, keyed: Keyed | undefined): Form {
  const known = kindOf(type)
  if (known === undefined || method === 'null') return nothing
  const plain = plainOf(known.kind, type.format, known.charsMax, known.element)
  if (method === 'redact') return always(plain)
  if (method === 'partial') return partialOf(known, type, keep, plain)
  if (keyed === undefined) return nothing
  return (method === 'hash' ? hashOf : fakeOf)(known, type, keyed)
}

const xml = 142

function partialOf({ kind }: KindOf, { type, format }: TypeOf, keep: number, plain: Buffer): Form {
  // Parts of XML are none.
  if (type === xml) return always(plain)
  if (kind === 'text' || kind === 'bpchar') return partialText(keep, plain)
  const codec = codecs[kind]
  const cut = partials[kind]
  return codec && cut ? made(codec, format, (value) => cut(value, keep), always(plain)) : always(plain)
}

/** The last digits, of what has at least twice as many. */
const partials: Readonly<Partial<Record<Kind, (value: string, keep: number) => string | undefined>>> = {
  int2: lastDigits,
  int4: lastDigits,
  int8: lastDigits,
  uuid: (value, keep) => (keep > 16 ? undefined : value.slice(-keep).padStart(32, '0')),
}

function lastDigits(value: string, keep: number): string | undefined {
  const digits = value.replace('-', '')
  return digits.length < 2 * keep ? undefined : String(Number(digits.slice(-keep)))
}

function hashOf({ kind, charsMax }: KindOf, type: TypeOf, keyed: Keyed): Form {
  if (kind === 'text' || kind === 'bpchar') return hashText(keyed, charsMax, kind === 'bpchar')
  if (kind === 'json' || kind === 'jsonb') return hashJson(keyed, kind === 'jsonb' ? type.format : 0)
  const codec = codecs[kind]
  const limit = hashLimits[kind] ?? numericLimit(kind, type.modifier)
  if (!codec) return nothing
  return made(codec, type.format, (value) => {
    const digest = keyed(Buffer.from(value, 'latin1'), 0, value.length)
    if (kind === 'uuid') return asUuid(digest.slice(0, 32))
    if (kind === 'bytea') return digest
    return limit === undefined ? undefined : String(BigInt(`0x${digest.slice(0, 24)}`) % limit)
  })
}

/** What a number's hash is below: all that its type can count without a sign, or exactly. */
const hashLimits: Readonly<Partial<Record<Kind, bigint>>> = {
  int2: 2n ** 15n,
  int4: 2n ** 31n,
  oid: 2n ** 32n,
  int8: 2n ** 63n,
  float4: 2n ** 24n,
  float8: 2n ** 53n,
}

/** numeric(p, s) has p - s digits before the point. */
function numericLimit(kind: Kind, modifier: number): bigint | undefined {
  if (kind !== 'numeric') return undefined
  if (modifier < 4) return 10n ** 18n
  const precision = (modifier - 4) >> 16
  // 11 bits, with a sign.
  const scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024
  const digits = Math.min(18, precision - scale)
  return digits > 0 ? 10n ** BigInt(digits) : undefined
}

/** Version 8, "custom" (RFC 9562): nobody takes it for a random or a timed one. */
function asUuid(digits: string): string {
  const variant = (8 + (Number.parseInt(digits.charAt(16), 16) & 3)).toString(16)
  return `${digits.slice(0, 12)}8${digits.slice(13, 16)}${variant}${digits.slice(17)}`
}

function fakeOf({ kind }: KindOf, { type, format }: TypeOf, keyed: Keyed): Form {
  if (type === xml) return nothing
  if (kind === 'text' || kind === 'bpchar') return fakeText(keyed)
  const codec = codecs[kind]
  const digitsMax = fakeDigitsMax[kind]
  if (!codec || (digitsMax === undefined && kind !== 'uuid')) return nothing
  return made(codec, format, (value) => {
    const stream = streamOf(keyed, Buffer.from(value, 'latin1'), 0, value.length)
    if (kind === 'uuid') return value.replace(/./g, () => (stream() % 16).toString(16))
    return fakeNumber(value, stream, digitsMax as number)
  })
}

/** Numbers of so many digits may be too large for the type: their first is then 1. */
const fakeDigitsMax: Readonly<Partial<Record<Kind, number>>> = {
  int2: 5,
  int4: 10,
  oid: 10,
  int8: 19,
  numeric: Infinity,
}

/** As many digits, the first of them not 0. */
function fakeNumber(value: string, stream: () => number, digitsMax: number): string {
  const whole = /^-?(\d+)/.exec(value)?.[1] ?? ''
  const isFull = whole.length >= digitsMax
  let isFirst = true
  return value.replace(/\d/g, (digit) => {
    const next = stream()
    if (!isFirst) return String(next % 10)
    isFirst = false
    if (isFull) return '1'
    return digit === '0' ? '0' : String(1 + (next % 9))
  })
}

/** By way of the value; `otherwise` where there is none to be had. */
function made(
  codec: Codec,
  format: Format,
  change: (value: string) => string | undefined,
  otherwise: Form = nothing,
): Form {
  return {
    bytesMax: (length) => Math.max(otherwise.bytesMax(length), madeBytesMax(length)),
    write(from, start, end, to, at) {
      const value = codec.read(from, start, end, format)
      const changed = value === undefined ? undefined : change(value)
      if (changed === undefined) return otherwise.write(from, start, end, to, at)
      const bytes = codec.write(changed, format)
      bytes.copy(to, at)
      return bytes.length
    },
  }
}

/** A digest of bytes is printed in 66 characters; a number takes no more than that, or about as much as it did. */
function madeBytesMax(length: number): number {
  return Math.max(72, 2 * length + 8)
}
