/**
 * Errors and notices of a command that reads or stores what must not be seen. Their texts may quote a value of it:
 * `invalid input syntax for type integer: "..."`, `Key (email)=(...) already exists`. They are withheld; what names no
 * value stays: severity, SQLSTATE, position, and the names of schema, table, column, type and constraint. Refuses to look
 * for values in them: a value can be quoted in part, or in another encoding.
 */
import type { Detect } from '@portcullis/kernel'
import { backend, fieldsMessage, headerBytes, readFields } from './wire.ts'

/** An ErrorResponse or NoticeResponse, whole, without what may quote a value; the same bytes where nothing may. */
export function withoutQuotes(message: Buffer): Buffer {
  const fields = readFields(message.subarray(headerBytes))
  if (isOfTextAlone(fields)) return message
  const kept = Object.entries(fields).filter(([code]) => !texts.has(code))
  return fieldsMessage(message[0] ?? backend.error, {
    ...Object.fromEntries(kept),
    M: `${fields.V ?? 'ERROR'} ${fields.C ?? ''}: the text is withheld, since it may quote what is masked`,
  })
}

/** The same with what is found in its texts by content replaced, by its kind's name whatever the method. */
export function withoutFinds(message: Buffer, detect: Detect): Buffer {
  if (detect(message, headerBytes, message.length).length === 0) return message
  const fields = Object.entries(readFields(message.subarray(headerBytes)))
  return fieldsMessage(
    message[0] ?? backend.error,
    Object.fromEntries(fields.map(([code, value]) => [code, texts.has(code) ? named(value, detect) : value])),
  )
}

function named(text: string, detect: Detect): string {
  const bytes = Buffer.from(text)
  let shown = ''
  let at = 0
  for (const { start, end, kind } of detect(bytes, 0, bytes.length)) {
    shown += `${bytes.toString('utf8', at, start)}[${kind}]`
    at = end
  }
  return shown + bytes.toString('utf8', at)
}

/** Message, detail, hint, context, internal query and the position in that. */
const texts: ReadonlySet<string> = new Set(['M', 'D', 'H', 'W', 'q', 'p'])

/**
 * The server's parser found it in the statement's own text, before anything ran. Its source file cannot be forged, but
 * texts that a statement makes as it runs are parsed by the same code: then there is a context, an internal query, or no
 * position (`email::regtype`).
 */
function isOfTextAlone({
  F: file = '',
  P: position,
  W: context,
  q: internal,
}: Record<string, string>): boolean {
  return position !== undefined && context === undefined && internal === undefined && ofParser.test(file)
}

const ofParser = /^(?:scan\.[lc]|gram\.[yc]|analyze\.c|parse_\w+\.c)$/
