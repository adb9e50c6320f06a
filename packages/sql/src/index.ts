// SQL text -> what it does: effects, objects, privileged use, judged with PostgreSQL's own grammar. Refuses to run
// anything, to ask a server, or to let a credential into a text that may be stored.
export { analysisBytes, createSqlAnalyzer } from './analyzer.ts'
export { encodingIsAsciiSafe } from './encoding.ts'
export { SqlError, type SqlErrorCode } from './errors.ts'
export { settingIsPrivileged } from './settings.ts'
export type {
  AnalyzerOptions,
  AnalyzerStats,
  Reading,
  SqlAnalyzer,
  StatementAnalysis,
  Transaction,
} from './types.ts'
