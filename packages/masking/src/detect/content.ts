/**
 * The form of a column of which only what a detector finds is masked: the rest of the value, and every value without, is
 * shown as it is. Refuses to guess at types that are made in a database: of those a value with something in it is NULL.
 * Numbers, dates and bytes are not looked at.
 */
import type { ContentMask, Detect, RemoteFinds, Span } from '@portcullis/kernel'
import type { Form } from '../form.ts'
import type { Keyed } from '../keyed.ts'
import { type KindOf, kindOf, type TypeOf } from '../kinds.ts'
import { merged } from './detection.ts'
import { maskJson } from './json.ts'
import { redact, type Replace, replaceBy, replaced } from './spans.ts'

/** What is shown of a value: undefined for all of it, null for nothing. */
type Look = (bytes: Buffer, start: number, end: number) => Buffer | null | undefined

/** undefined for a type that holds no text. `found` is told of everything that is masked. */
export function contentForm(
  type: TypeOf,
  content: ContentMask,
  keyed: Keyed | undefined,
  found: (kind: string) => void,
): Form | undefined {
  const look = lookOf(type, content, keyed, found)
  if (look === undefined) return undefined
  let shown: Buffer | null = null
  return {
    bytesMax: (length) => length,
    weigh(from, start, end) {
      const seen = look(from, start, end)
      if (seen === undefined) return -1
      shown = seen
      return seen?.length ?? 0
    },
    write(_from, _start, _end, to, at) {
      if (shown === null) return -1
      shown.copy(to, at)
      return shown.length
    },
  }
}

function lookOf(
  type: TypeOf,
  { detect, formOf, remote }: ContentMask,
  keyed: Keyed | undefined,
  found: (kind: string) => void,
): Look | undefined {
  const known = kindOf(type)
  const isUntyped = type.type === 0 && type.format === 0
  const element = known?.kind === 'array' ? kindOf({ type: known.element, modifier: -1 })?.kind : known?.kind
  if (element !== undefined && !texts.has(element)) return undefined
  const isBuilt = known?.kind === 'array' && (type.format === 1 || element === 'json' || element === 'jsonb')
  if (isBuilt || (known === undefined && !isUntyped)) return wholly(type, detect, found)
  const replaceOne = replaceBy(formOf, keyed)
  const parts: Parts = {
    detect,
    detectWhole: remote ? withRemote(detect, remote) : detect,
    found,
    isWhole: ({ kind }) => formOf(kind).method === 'null',
    replace(kind, ...place) {
      found(kind)
      return replaceOne(kind, ...place)
    },
  }
  if (known === undefined) return untypedLook(parts)
  if (known.kind === 'json') return jsonLook(0, parts)
  if (known.kind === 'jsonb') return jsonLook(type.format, parts)
  return textLook(
    parts,
    known.kind === 'array' ? arraySigns : type.type === xml ? xmlSigns : noSigns,
    known.charsMax,
  )
}

/** What was not answered is a find as a whole. */
function withRemote(detect: Detect, remote: RemoteFinds): Detect {
  return (bytes, start, end) => {
    const spans = detect(bytes, start, end)
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString()
    const finds = remote.finds(text)
    if (finds === undefined) return [{ kind: 'unread', start, end }]
    if (finds.length === 0) return spans
    return merged([
      ...spans,
      ...finds.map((one) => ({ ...one, start: start + one.start, end: start + one.end })),
    ])
  }
}

/** What the looks at each type have in common. */
interface Parts {
  readonly detect: Detect
  /** The same for a whole value, of which another service may have been asked. */
  readonly detectWhole: Detect
  readonly found: (kind: string) => void
  /** Whether a find makes the whole value NULL. */
  readonly isWhole: (span: Span) => boolean
  readonly replace: Replace
}

/** `signs`: a find across one of them would take away what holds the value together. */
function textLook({ detectWhole, found, isWhole, replace }: Parts, signs: Buffer, charsMax: number): Look {
  return (bytes, start, end) => {
    const spans = detectWhole(bytes, start, end)
    if (spans.length === 0) return undefined
    if (spans.some((span) => isWhole(span) || holdsAny(bytes, span, signs))) {
      for (const span of spans) found(span.kind)
      return null
    }
    const text = replaced(bytes, start, end, spans, replace)
    // A hash may be longer than what it stands for.
    const isShort = text.length <= charsMax || charactersOf(text) <= charsMax
    return isShort ? text : replaced(bytes, start, end, spans, redact)
  }
}

/** Of COPY's lines, which say nothing of types: a value is taken for what it looks like, and a bare number for one. */
function untypedLook(parts: Parts): Look {
  const json = jsonLook(0, parts)
  const looks = { text: textLook(parts, noSigns, Infinity), built: textLook(parts, arraySigns, Infinity) }
  const markup = textLook(parts, xmlSigns, Infinity)
  return (bytes, start, end) => {
    const first = bytes[start]
    // { [ "
    if ((first === 0x7b || first === 0x5b || first === 0x22) && isJson(bytes, start, end))
      return json(bytes, start, end)
    // { (
    if (first === 0x7b || first === 0x28) return looks.built(bytes, start, end)
    if (first === 0x3c) return markup(bytes, start, end)
    const shown = looks.text(bytes, start, end)
    return shown && isNumber(bytes, start, end) ? null : shown
  }
}

function isJson(bytes: Buffer, start: number, end: number): boolean {
  try {
    return JSON.parse(bytes.toString('utf8', start, end)) !== undefined
  } catch {
    return false
  }
}

function isNumber(bytes: Buffer, start: number, end: number): boolean {
  return /^[-+.\d]+$/.test(bytes.toString('latin1', start, end))
}

const texts: ReadonlySet<KindOf['kind']> = new Set(['text', 'bpchar', 'json', 'jsonb'])
const xml = 142

const arraySigns = Buffer.from('"\\,{}')
const xmlSigns = Buffer.from('<>')
const noSigns = Buffer.alloc(0)

function holdsAny(bytes: Buffer, { start, end }: Span, signs: Buffer): boolean {
  for (let index = start; index < end; index += 1) if (signs.includes(bytes[index] as number)) return true
  return false
}

function charactersOf(text: Buffer): number {
  return [...text.toString()].length
}

/** `version` bytes stand before the text. */
function jsonLook(version: number, { detect, detectWhole, isWhole, replace }: Parts): Look {
  return (bytes, start, end) => {
    let whole = false
    const watching: Detect = (...args) => {
      const spans = (args[0] === bytes ? detectWhole : detect)(...args)
      whole ||= spans.some(isWhole)
      return spans
    }
    const masked = maskJson(bytes, start + version, end, watching, replace)
    if (masked === undefined || whole) return masked && null
    return version === 0 ? masked : Buffer.concat([bytes.subarray(start, start + version), masked])
  }
}

/** NULL wherever something is found. */
function wholly({ type, format }: TypeOf, detect: Detect, found: (kind: string) => void): Look {
  const isPlain = format === 0 || texts.has(kindOf({ type, modifier: -1 })?.kind ?? 'array')
  return (bytes, start, end) => {
    const spans = isPlain ? detect(bytes, start, end) : findsInParts(bytes, start, end, detect)
    for (const { kind } of spans) found(kind)
    return spans.length > 0 ? null : undefined
  }
}

/**
 * Binary forms of what has parts (arrays, rows, hstore, ranges) hold each text behind its length in four bytes. Every place
 * that may be such a length is taken for one, so that the byte before a text is not read as its beginning. Where those
 * lengths lie within one another beyond reason, that is a find too.
 */
function findsInParts(bytes: Buffer, start: number, end: number, detect: Detect): readonly Span[] {
  let bytesLeft = 8 * (end - start)
  for (let at = start; at + 4 < end; at += 1) {
    if (bytes[at] !== 0) continue
    const length = bytes.readInt32BE(at)
    if (length <= 0 || at + 4 + length > end) continue
    bytesLeft -= length
    if (bytesLeft < 0) return [{ start, end, kind: 'unreadable' }]
    const spans = detect(bytes, at + 4, at + 4 + length)
    if (spans.length > 0) return spans
  }
  // A label of an enum, citext and their like have no parts.
  return detect(bytes, start, end)
}
