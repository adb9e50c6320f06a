// SQL text -> what it does: effects, objects, privileged use, judged with PostgreSQL's own grammar. Refuses to run
// anything, to ask a server, or to let a credential into a text that may be stored.
export { analysisBytes, createSqlAnalyzer } from './analyzer.ts'
export { type BindValue, unread } from './bind.ts'
export { catalogueOf, catalogueQuery, catalogueVersionMin, schemasOf } from './catalogue-query.ts'
export type { Catalogue, CatalogueData, ColumnType, Refiner, SearchPath } from './catalogue-types.ts'
export { encodingIsAsciiSafe } from './encoding.ts'
export { SqlError, type SqlErrorCode } from './errors.ts'
export { type ChangedTables, changedTables, mayDefine, mayMoveSearchPath } from './moves.ts'
export { resolveNames } from './origins.ts'
export { withoutLiterals } from './redact.ts'
export { settingIsPrivileged } from './settings.ts'
export type {
  AnalyzerOptions,
  AnalyzerStats,
  NamedStatement,
  Reading,
  SqlAnalyzer,
  StatementAnalysis,
  Transaction,
} from './types.ts'
