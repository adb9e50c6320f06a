/** SQL text to what it does, as this session's server reads it at that moment. */
import { encodingIsAsciiSafe, type Reading, type SqlAnalyzer, type StatementAnalysis } from '@portcullis/sql'

export interface ReadText {
  /** One analysis for each statement in `bytes[start, end)`; at least one. A promise for long texts; it never rejects. */
  analyze(
    bytes: Buffer,
    start: number,
    end: number,
  ): readonly StatementAnalysis[] | Promise<readonly StatementAnalysis[]>
  /** What it comes to with what is known of the target; the same object where that adds nothing. */
  refine(analysis: StatementAnalysis): StatementAnalysis
  /** The server reported a setting. */
  setting(name: string, value: string): void
  /**
   * A statement was forwarded: it may change how text is read, through a function that nobody sees, and the server says so
   * only with its next ReadyForQuery. Until then only what reads the same either way is read.
   */
  unsure(): void
  /** The server has answered everything. */
  sure(): void
}

export function createReadText(analyzer: SqlAnalyzer): ReadText {
  let known: Reading = { standardConformingStrings: true, encodingAsciiSafe: true }
  let unsure = false
  return {
    refine: (analysis) => analysis,
    analyze: (bytes, start, end) => analyzer.analyze(bytes, start, end, unsure ? unsureReading : known),
    setting(name, value) {
      if (name === 'client_encoding') known = { ...known, encodingAsciiSafe: encodingIsAsciiSafe(value) }
      else if (name === 'standard_conforming_strings')
        known = { ...known, standardConformingStrings: value === 'on' }
    },
    unsure() {
      unsure = true
    },
    sure() {
      unsure = false
    },
  }
}

const unsureReading: Reading = { standardConformingStrings: false, encodingAsciiSafe: false, unsure: true }
