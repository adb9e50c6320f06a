/**
 * Brings the audit trail's tables to what this version needs: numbered files, each applied once, in order, and never
 * changed afterwards. ClickHouse has no transactions over DDL, so every statement must bear being run twice; that also
 * makes two processes that migrate at once harmless. It never drops anything.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AuditError, messageOf } from './errors.ts'
import { isTransient } from './failures.ts'
import type { AuditLog } from './log.ts'
import type { AuditStore } from './store.ts'

export interface MigrateOptions {
  readonly log: AuditLog
  /** Default: schemas/clickhouse of this checkout. */
  readonly dir?: string
  /** Days each public table keeps its rows; for ever where absent. */
  readonly retentionDays?: Readonly<Partial<Record<RetainedTable, number>>>
  /**
   * disk: a write is answered after fdatasync. process (the default): it survives the store's death, and after a loss
   * of power the projector must be made to go back further (see the ADR).
   */
  readonly durability?: 'process' | 'disk'
  /** How long to wait for a store that is not there yet; default 60 s. */
  readonly waitMs?: number
}

export type RetainedTable = keyof typeof retained

/** Throws AuditError('migration') for a file that was changed, is missing, or fails; 'unavailable' when the wait is over. */
export async function migrate(store: AuditStore, options: MigrateOptions): Promise<{ applied: number[] }> {
  const files = readMigrations(options.dir ?? join(import.meta.dirname, '../../../../schemas/clickhouse'))
  await whenThere(store, options.waitMs ?? 60_000, options.log)
  await store.command(`CREATE DATABASE IF NOT EXISTS \`${store.database}\``, { in: 'server' })
  await store.command(historyTable)
  const before = await store.query<Applied>(
    'SELECT version, name, checksum FROM schema_migrations FINAL ORDER BY version',
  )
  checkHistory(before, files)
  const known = new Set(before.map(({ version }) => version))
  const applied: number[] = []
  for (const file of files) {
    if (known.has(file.version)) continue
    for (const statement of file.statements) await apply(store, file, statement)
    await store.command(
      `INSERT INTO schema_migrations (version, name, checksum) VALUES (${file.version}, '${file.name}', '${file.checksum}')`,
    )
    options.log.info({ migration: file.name }, 'audit trail migrated')
    applied.push(file.version)
  }
  await setRetention(store, options.retentionDays ?? {}, options.log)
  await setDurability(store, options.durability ?? 'process')
  return { applied }
}

interface Migration {
  readonly version: number
  readonly name: string
  readonly checksum: string
  readonly statements: readonly string[]
}

interface Applied {
  readonly version: number
  readonly name: string
  readonly checksum: string
}

/** The tables behind each public name, and the column that says how old a row is. */
const retained = {
  sessions: { tables: ['sessions_log', 'session_phases_log'], age: 'started_at' },
  commands: { tables: ['commands_log', 'command_phases_log'], age: 'started_at' },
  recordings: { tables: ['recordings_log'], age: 'at' },
  findings: { tables: ['findings_log'], age: 'at' },
  verdicts: { tables: ['verdicts_log'], age: 'until' },
  approvals: { tables: ['approvals_log'], age: 'asked_at' },
  control_events: { tables: ['control_events_log'], age: 'at' },
  sign_ins: { tables: ['sign_ins_log'], age: 'at' },
} as const

const historyTable = `CREATE TABLE IF NOT EXISTS schema_migrations
(
  version UInt32 COMMENT 'Number of the file in schemas/clickhouse.',
  name String COMMENT 'Name of the file.',
  checksum String COMMENT 'SHA-256 of the file as it was applied, in hex.',
  applied_at DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When.'
)
ENGINE = ReplacingMergeTree ORDER BY version
COMMENT 'Which migrations were applied.'`

function readMigrations(dir: string): Migration[] {
  const files = readdirSync(dir)
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .map((name) => {
      const version = /^(\d{3})_[a-z0-9_]+\.sql$/.exec(name)?.[1]
      if (version === undefined)
        throw new AuditError('migration', `${join(dir, name)}: must be named NNN_what_it_does.sql`)
      const text = readFileSync(join(dir, name), 'utf8')
      const checksum = createHash('sha256').update(text).digest('hex')
      return { version: Number(version), name, checksum, statements: statementsIn(text) }
    })
  for (const [index, { version, name }] of files.entries())
    if (version !== index + 1)
      throw new AuditError(
        'migration',
        `${join(dir, name)}: expected number ${index + 1}, without gap or double`,
      )
  return files
}

/** A statement ends with a semicolon at the end of a line; a comment stands on a line of its own. */
function statementsIn(text: string): string[] {
  return text
    .replace(/^\s*--.*$/gm, '')
    .split(/;[ \t]*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
}

function checkHistory(applied: readonly Applied[], files: readonly Migration[]): void {
  for (const { version, name, checksum } of applied) {
    const file = files.find((other) => other.version === version)
    if (!file)
      throw new AuditError(
        'migration',
        `the audit trail was migrated by a newer version (${name}, which this one does not have): run that version, or a later one`,
      )
    if (file.checksum !== checksum)
      throw new AuditError(
        'migration',
        `schemas/clickhouse/${file.name} is not what was applied to this audit trail: put its old text back, and make the change in a new file ${String(files.length + 1).padStart(3, '0')}_….sql`,
      )
  }
}

async function apply(store: AuditStore, file: Migration, statement: string): Promise<void> {
  try {
    await store.command(statement)
  } catch (cause) {
    if (cause instanceof AuditError && isTransient(cause)) throw cause
    const first = statement.slice(0, 80).replaceAll('\n', ' ')
    throw new AuditError('migration', `schemas/clickhouse/${file.name}, at "${first}": ${messageOf(cause)}`, {
      cause,
    })
  }
}

async function whenThere(store: AuditStore, waitMs: number, log: AuditLog): Promise<void> {
  const until = performance.now() + waitMs
  for (let told = false; ; told = true) {
    try {
      return await store.ping()
    } catch (cause) {
      if (!(cause instanceof AuditError) || !isTransient(cause) || performance.now() > until) throw cause
      if (!told) log.warn({ err: cause }, 'the audit store is not there yet, waiting')
      await sleep(250)
    }
  }
}

async function setRetention(
  store: AuditStore,
  days: NonNullable<MigrateOptions['retentionDays']>,
  log: AuditLog,
): Promise<void> {
  const current = await store.query<{ name: string; create: string }>(
    'SELECT name, create_table_query AS create FROM system.tables WHERE database = {database:String}',
    { database: store.database },
  )
  for (const [name, { tables, age }] of Object.entries(retained)) {
    const wanted = days[name as RetainedTable]
    if (wanted !== undefined && (!Number.isSafeInteger(wanted) || wanted < 1))
      throw new AuditError('migration', `retention of ${name}: ${wanted} is not a whole number of days`)
    for (const table of tables) {
      const found = /\bTTL toDateTime\(\w+\) \+ toIntervalDay\((\d+)\)/.exec(
        current.find((row) => row.name === table)?.create ?? '',
      )?.[1]
      if (wanted === (found === undefined ? undefined : Number(found))) continue
      const change =
        wanted === undefined ? 'REMOVE TTL' : `MODIFY TTL toDateTime(${age}) + toIntervalDay(${wanted})`
      await store.command(`ALTER TABLE ${table} ${change}`)
      log.info({ table, days: wanted ?? 'for ever' }, 'retention set')
    }
  }
}

async function setDurability(store: AuditStore, durability: 'process' | 'disk'): Promise<void> {
  const value = durability === 'disk' ? 1 : 0
  const tables = await store.query<{ name: string; create: string }>(
    "SELECT name, create_table_query AS create FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree'",
    { database: store.database },
  )
  for (const { name, create } of tables) {
    const now = /\bfsync_after_insert = 1\b/.test(create) ? 1 : 0
    if (now === value) continue
    await store.command(
      `ALTER TABLE ${name} MODIFY SETTING fsync_after_insert = ${value}, fsync_part_directory = ${value}`,
    )
  }
}
