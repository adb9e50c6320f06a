/**
 * A text with its spans replaced, by the method that the rule names. What stands for a span is never longer in characters
 * than it was, but for a hash, and is made of signs that need no quoting in JSON, an array or XML where the span had none.
 */
import type { MaskForm } from '@portcullis/kernel'
import type { Span } from '@portcullis/kernel'
import { MaskingError } from '../errors.ts'
import type { Keyed } from '../keyed.ts'
import { fakeText } from '../texts.ts'

/** What is shown of `bytes[start, end)`, found to be of this kind. */
export type Replace = (kind: string, bytes: Buffer, start: number, end: number) => string

/** By each kind's own method. `null` has no part in it: it is for whole values. */
export function replaceBy(formOf: (kind: string) => MaskForm, keyed: Keyed | undefined): Replace {
  const known = new Map<string, Replace>()
  return (kind, bytes, start, end) => {
    let replace = known.get(kind)
    if (replace === undefined) {
      replace = replaceAs(formOf(kind), keyed)
      known.set(kind, replace)
    }
    return replace(kind, bytes, start, end)
  }
}

function replaceAs({ method, keep }: MaskForm, keyed: Keyed | undefined): Replace {
  if (method === 'partial')
    return (kind, bytes, start, end) => partial(kind, bytes.toString('utf8', start, end), keep)
  if (method !== 'hash' && method !== 'fake') return redact
  if (keyed === undefined) throw new MaskingError('no_key', `masking by ${method} needs a key`)
  if (method === 'hash') return (_kind, bytes, start, end) => keyed(bytes, start, end).slice(0, hashDigits)
  const form = fakeText(keyed)
  return (_kind, bytes, start, end) => {
    const to = Buffer.alloc(form.bytesMax(end - start))
    return to.toString('utf8', 0, form.write(bytes, start, end, to, 0))
  }
}

export const redact: Replace = (kind, bytes, start, end) => named(kind, bytes.toString('utf8', start, end))

const hashDigits = 32

/** `bytes[start, end)` with what is replaced; `spans` in order. */
export function replaced(
  bytes: Buffer,
  start: number,
  end: number,
  spans: readonly Span[],
  replace: Replace,
): Buffer {
  const parts: Buffer[] = []
  let at = start
  for (const span of spans) {
    parts.push(bytes.subarray(at, span.start), Buffer.from(replace(span.kind, bytes, span.start, span.end)))
    at = span.end
  }
  parts.push(bytes.subarray(at, end))
  return Buffer.concat(parts)
}

/** `[card]`, or stars where that is longer than what it stands for. */
function named(kind: string, text: string): string {
  const name = `[${kind}]`
  return name.length <= text.length ? name : '*'.repeat(text.length)
}

/** A star for every letter and digit but the last `keep`, of what has at least twice as many. */
function partial(kind: string, text: string, keep: number): string {
  const count = text.match(/[\p{L}\p{N}]/gu)?.length ?? 0
  if (count < 2 * keep) return named(kind, text)
  let left = count - keep
  return text.replace(/[\p{L}\p{N}]/gu, (sign) => (left-- > 0 ? '*' : sign))
}
