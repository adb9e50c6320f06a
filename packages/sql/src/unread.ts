// The analysis of a text that nobody could or would parse. Refuses to spend much on it: of a long one only the start is
// kept, every literal in it replaced.
import { createHash } from 'node:crypto'
import { trigger } from './credentials.ts'
import { view } from './cutter.ts'
import { unreadable } from './judge.ts'
import { withoutLiterals } from './redact.ts'
import type { StatementAnalysis } from './types.ts'

/** `keptBytesMax`: how much of the text is looked at. */
export function unread(sql: Uint8Array, keptBytesMax = 4096): readonly StatementAnalysis[] {
  return unknown(sql, keptBytesMax, withoutLiterals)
}

/**
 * The same for what may be read in more than one way: an auditor must see what may have run, so its literals stay where
 * nothing in the whole text looks like a credential, and it is not so long that to look would take long.
 */
export function ambiguous(sql: Uint8Array, keptBytesMax = 4096): readonly StatementAnalysis[] {
  // The look takes six milliseconds for a megabyte, which every session beside this one would wait.
  const suspicious = sql.length > suspiciousBytesMin || trigger.test(view(sql).toString('latin1'))
  return unknown(sql, keptBytesMax, (bytes, start, end) =>
    suspicious ? withoutLiterals(bytes, start, end) : view(bytes).toString('utf8', start, end),
  )
}

function unknown(
  sql: Uint8Array,
  keptBytesMax: number,
  redact: (bytes: Uint8Array, start: number, end: number) => string,
): readonly StatementAnalysis[] {
  const kept = Math.min(sql.length, keptBytesMax)
  const rest = sql.length - kept
  const text = redact(sql, 0, kept)
  const analysis: StatementAnalysis = {
    ...unreadable,
    text: rest === 0 ? text : `${text} /* and ${rest} more bytes */`,
    textBytes: sql.length,
    fingerprint: fingerprintOf(text),
  }
  return Object.freeze([Object.freeze(analysis)])
}

const suspiciousBytesMin = 65_536

/** For what the grammar gives no fingerprint to: the text without its literals decides. */
export function fingerprintOf(text: string): string {
  const folded = text.replaceAll(/\s+/g, ' ').trim().toLowerCase()
  return createHash('sha256').update(folded).digest('hex').slice(0, 16)
}
