// The analysis of a text that nobody could or would parse. Refuses to spend much on it: of a long one only the start is
// kept, every literal in it replaced.
import { createHash } from 'node:crypto'
import { unreadable } from './judge.ts'
import { withoutLiterals } from './redact.ts'
import type { StatementAnalysis } from './types.ts'

/** `keptBytesMax`: how much of the text is looked at. */
export function unread(sql: Uint8Array, keptBytesMax = 4096): readonly StatementAnalysis[] {
  const kept = Math.min(sql.length, keptBytesMax)
  const rest = sql.length - kept
  const text = withoutLiterals(sql, 0, kept)
  const analysis: StatementAnalysis = {
    ...unreadable,
    text: rest === 0 ? text : `${text} /* and ${rest} more bytes */`,
    textBytes: sql.length,
    fingerprint: fingerprintOf(text),
  }
  return Object.freeze([Object.freeze(analysis)])
}

/** For what the grammar gives no fingerprint to: the text without its literals decides. */
export function fingerprintOf(text: string): string {
  const folded = text.replaceAll(/\s+/g, ' ').trim().toLowerCase()
  return createHash('sha256').update(folded).digest('hex').slice(0, 16)
}
