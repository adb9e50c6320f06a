/**
 * The audit trail in ClickHouse: the store, its tables' migrations and the embedded engine. Nothing else of the platform
 * names ClickHouse.
 */
export { AuditError, type AuditErrorCode } from './errors.ts'
export { type EngineAddress, takeEngineAddress } from './engine-address.ts'
export { isTransient } from './failures.ts'
export type { AuditLog } from './log.ts'
export type { Column, Table } from './rowbinary.ts'
export {
  type AuditOptions,
  type AuditStore,
  type CallOptions,
  openAuditStore,
  type QueryParams,
} from './store.ts'
export { type Engine, type EngineOptions, startEngine } from '../clickhouse-engine/start.ts'
export { migrate, type MigrateOptions, type RetainedTable } from './migrate.ts'
