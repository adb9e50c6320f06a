/**
 * Patterns of the user's own. Refuses to look at a long value at once: it is read in pieces that overlap, so that one value
 * does not hold the loop up, and a match longer than the overlap may be missed.
 */
import { compilePattern } from '@portcullis/expressions'
import type { ContentSearch } from '@portcullis/kernel'
import type { Span } from '@portcullis/kernel'

const pieceBytes = 16_384
/** A match of at most so many bytes is found wherever it lies. */
const matchBytesMax = 1024

/** Finds every pattern's matches, in no order; empty where there is none. */
export function createPatternSearch(
  patterns: ContentSearch['patterns'],
): (bytes: Uint8Array, start: number, end: number) => readonly Span[] {
  const compiled = Object.entries(patterns).map(([name, regex]) => ({
    name,
    pattern: compilePattern(regex),
  }))
  return (bytes, start, end) => {
    let spans: Span[] | undefined
    for (let from = start; from < end; from += pieceBytes) {
      const to = Math.min(end, from + pieceBytes + matchBytesMax)
      const piece = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from)
      const text = piece.toString()
      for (const { name, pattern } of compiled) {
        if (!pattern.test(text)) continue
        spans ??= []
        for (const [matchStart, matchEnd] of pattern.matches(piece))
          spans.push({ kind: name, start: from + matchStart, end: from + matchEnd })
      }
      if (to === end) break
    }
    return spans ?? none
  }
}

const none: readonly Span[] = []
