/** SQL text to what it does, as this session's server reads it at that moment and knows its names. */
import { encodingIsAsciiSafe, type Reading, type SqlAnalyzer, type StatementAnalysis } from '@portcullis/sql'
import { createNames, type Names } from './names.ts'
import { noCatalogue, type SessionCatalogue } from './session-catalogue.ts'

export interface ReadText extends SessionCatalogue, Names, Pick<SqlAnalyzer, 'bind' | 'bindExecute'> {
  /** One analysis for each statement in `bytes[start, end)`; at least one. A promise for long texts; it never rejects. */
  analyze(
    bytes: Buffer,
    start: number,
    end: number,
  ): readonly StatementAnalysis[] | Promise<readonly StatementAnalysis[]>
  /**
   * A statement was forwarded: it may change how text is read, through a function that nobody sees, and the server says so
   * only with its next ReadyForQuery. Until then only what reads the same either way is read.
   */
  unsure(): void
  /** The client's encoding, as last reported: no character of it has a byte that is another in ASCII. */
  isAsciiSafe(): boolean
}

/** `parameters`: those that the session was opened with. */
export function createReadText(
  analyzer: SqlAnalyzer,
  parameters: Readonly<Record<string, string>>,
  catalogue: SessionCatalogue = noCatalogue,
): ReadText {
  let known: Reading = { standardConformingStrings: true, encodingAsciiSafe: true }
  let unsure = false
  const names = createNames(parameters, catalogue.searchPath)
  return {
    ...catalogue,
    ...names,
    runs(analysis) {
      catalogue.runs(analysis)
      names.runs(analysis)
    },
    bind: (analysis, values) => analyzer.bind(analysis, values),
    bindExecute: (analysis, args) => analyzer.bindExecute(analysis, args),
    analyze: (bytes, start, end) => analyzer.analyze(bytes, start, end, unsure ? unsureReading : known),
    setting(name, value) {
      catalogue.setting(name, value)
      if (name === 'client_encoding') known = { ...known, encodingAsciiSafe: encodingIsAsciiSafe(value) }
      else if (name === 'standard_conforming_strings')
        known = { ...known, standardConformingStrings: value === 'on' }
    },
    isAsciiSafe: () => known.encodingAsciiSafe,
    unsure() {
      unsure = true
    },
    sure() {
      catalogue.sure()
      unsure = false
    },
  }
}

const unsureReading: Reading = { standardConformingStrings: false, encodingAsciiSafe: false, unsure: true }
