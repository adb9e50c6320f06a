/**
 * Writes a batch of rows and, only after all of them are acknowledged, how far the bus was read. Written twice a row
 * collapses by its key; so whatever fails, the batch simply comes again. A row that the store will never take is given
 * up to the dead letters, with its reason, instead of holding up the others.
 */
import type { Received } from '@portcullis/kernel'
import { AuditError, type AuditStore, type Table } from '@portcullis/platform/audit'
import type { Source } from './columns.ts'
import type { Project } from './rows.ts'
import { type DeadLetter, deadLettersLog, type Progress, progressTable } from './tables.ts'

export interface Written {
  readonly rows: number
  readonly dead: readonly DeadLetter[]
}

/** Throws AuditError where the store is away: nothing is lost, the same records must come again. */
export async function writeBatch(
  store: AuditStore,
  project: Project,
  records: readonly Received[],
): Promise<Written> {
  const dead: DeadLetter[] = []
  const byTable = new Map<Table<Source>, Source[]>()
  let rows = 0
  for (const record of records) {
    const outcome = project(record)
    if (outcome.kind === 'dead') dead.push(outcome.letter)
    if (outcome.kind !== 'rows') continue
    for (const { table, row } of outcome.writes) {
      const known = byTable.get(table)
      if (known) known.push(row)
      else byTable.set(table, [row])
      rows++
    }
  }
  const writes = [...byTable].map(([table, some]) => writeRows(store, table, some, dead))
  // Every write is awaited also where one fails: none may still run when the batch comes again.
  const failed = (await Promise.allSettled(writes)).find(({ status }) => status === 'rejected')
  if (failed?.status === 'rejected') throw failed.reason
  await store.insert(deadLettersLog, dead)
  await store.insert(progressTable, progressAfter(records))
  return { rows, dead }
}

/** Halves what is refused until the rows that cannot be written stand alone. */
async function writeRows(
  store: AuditStore,
  table: Table<Source>,
  rows: readonly Source[],
  dead: DeadLetter[],
): Promise<void> {
  try {
    await store.insert(table, rows)
  } catch (cause) {
    const [only] = rows
    if (!(cause instanceof AuditError) || cause.code !== 'invalid_data' || !only) throw cause
    if (rows.length === 1) {
      dead.push({ record: only.record, reason: cause.message })
      return
    }
    const half = Math.ceil(rows.length / 2)
    await writeRows(store, table, rows.slice(0, half), dead)
    await writeRows(store, table, rows.slice(half), dead)
  }
}

export function progressAfter(records: readonly Received[]): Progress[] {
  const last = new Map<string, Received>()
  for (const record of records) {
    const key = `${record.topic} ${record.partition}`
    const known = last.get(key)
    if (!known || known.offset < record.offset) last.set(key, record)
  }
  return [...last.values()].map(({ topic, partition, offset, publishedMs }) => ({
    topic,
    partition,
    nextOffset: offset + 1,
    publishedMs,
  }))
}
