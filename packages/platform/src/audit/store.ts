/**
 * The audit store over `@clickhouse/client`, the same for a server and for the embedded engine. A write is at least
 * once: after a time-out it may have happened, so every table it writes to must collapse repeated rows by key. It
 * never builds SQL from values.
 */
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { AuditError } from './errors.ts'
import { auditErrorOf, isTransient } from './failures.ts'
import type { AuditLog } from './log.ts'
import { rowEncoder, type RowEncoder, type Table } from './rowbinary.ts'

export interface AuditOptions {
  readonly username: string
  readonly password: string
  /** Default `portcullis`. */
  readonly database?: string
  readonly log: AuditLog
  /** How long one request may take; default 60 s. */
  readonly requestTimeoutMs?: number
  /** How long a write is tried again while the store is away; default 10 s. */
  readonly retryMs?: number
}

/** Values by name for `{name:Type}` in the SQL text. Arrays become Arrays; pass times as Int64 microseconds. */
export type QueryParams = Readonly<
  Record<string, string | number | boolean | null | readonly (string | number)[]>
>

export interface CallOptions {
  readonly signal?: AbortSignal
  readonly settings?: Readonly<Record<string, string | number>>
}

export interface AuditStore {
  readonly database: string
  /** Resolves once the rows are written; tries again while the store is away, up to `retryMs`. Throws AuditError. */
  insert<Row>(table: Table<Row>, rows: readonly Row[], call?: CallOptions): Promise<void>
  /**
   * All rows of a small result. 64-bit integers come as numbers, times as ISO 8601 with microseconds and Z. Sets no
   * limit of its own: page by cursor. Throws AuditError.
   */
  query<T>(sql: string, params?: QueryParams, call?: CallOptions): Promise<T[]>
  /** A result of any size, a chunk of rows at a time; leaving the loop ends the query. */
  stream<T>(sql: string, params?: QueryParams, call?: CallOptions): AsyncGenerator<T[]>
  /** A statement without a result. `in: 'server'` runs it outside the database, which need not exist yet. */
  command(
    sql: string,
    call?: CallOptions & { readonly params?: QueryParams; readonly in?: 'database' | 'server' },
  ): Promise<void>
  /** Throws AuditError where the store does not answer a query. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** Connects lazily: `ping` says whether it is there. Throws AuditError('invalid_url'). */
export function openAuditStore(url: string, options: AuditOptions): AuditStore {
  const database = options.database ?? 'portcullis'
  const retryMs = options.retryMs ?? 10_000
  const own = clientFor(url, options, database)
  const server = clientFor(url, options, undefined)
  const encoders = new WeakMap<object, unknown>()
  let closed = false

  async function call<T>(doing: string, signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> {
    if (closed) throw new AuditError('closed', `${doing}: the store was closed`)
    if (signal?.aborted) throw new AuditError('cancelled', `${doing}: stopped by the caller`)
    try {
      return await act()
    } catch (cause) {
      throw signal?.aborted
        ? new AuditError('cancelled', `${doing}: stopped by the caller`, { cause })
        : auditErrorOf(cause, doing)
    }
  }

  function encoderOf<Row>(table: Table<Row>): RowEncoder<Row> {
    const known = encoders.get(table) as RowEncoder<Row> | undefined
    if (known) return known
    const made = rowEncoder(table)
    encoders.set(table, made)
    return made
  }

  async function insertOnce<Row>(table: Table<Row>, bytes: Buffer, { signal, settings }: CallOptions) {
    const { into } = encoderOf(table)
    const run = () =>
      own.exec({
        query: `INSERT INTO ${into} FORMAT RowBinary`,
        values: Readable.from([bytes], { objectMode: false }),
        clickhouse_settings: { ...insertSettings, ...settings },
        ...(signal ? { abort_signal: signal } : {}),
      })
    await call(`insert into ${table.name}`, signal, async () => {
      const { stream } = await run()
      for await (const _ of stream) {
        // The answer to an insert is empty; reading it to its end lets the connection be used again.
      }
    })
  }

  async function* stream<T>(sql: string, params: QueryParams = {}, { signal, settings }: CallOptions = {}) {
    const result = await call('query', signal, () =>
      own.query({
        query: sql,
        format: 'JSONEachRow',
        query_params: { ...params },
        clickhouse_settings: { ...querySettings, ...settings },
        ...(signal ? { abort_signal: signal } : {}),
      }),
    )
    const chunks = result.stream<T>()
    try {
      for await (const rows of chunks) yield rows.map((row) => row.json())
    } catch (cause) {
      throw signal?.aborted
        ? new AuditError('cancelled', 'query: stopped by the caller', { cause })
        : auditErrorOf(cause, 'query')
    } finally {
      result.close()
    }
  }

  return {
    database,
    async insert(table, rows, options = {}) {
      if (rows.length === 0) return
      const bytes = encoderOf(table).encode(rows)
      await withRetries(retryMs, options.signal, () => insertOnce(table, bytes, options))
    },
    async query<T>(sql: string, params?: QueryParams, options?: CallOptions) {
      const rows: T[] = []
      for await (const some of stream<T>(sql, params, options)) for (const row of some) rows.push(row)
      return rows
    },
    stream,
    async command(sql, { signal, settings, params, in: where = 'database' } = {}) {
      const client = where === 'server' ? server : own
      await call('command', signal, () =>
        client.command({
          query: sql,
          ...(params ? { query_params: { ...params } } : {}),
          ...(settings ? { clickhouse_settings: { ...settings } } : {}),
          ...(signal ? { abort_signal: signal } : {}),
        }),
      )
    },
    async ping() {
      const answer = await call('ping', undefined, () => server.ping({ select: true }))
      if (!answer.success) throw auditErrorOf(answer.error, 'ping')
    },
    async close() {
      closed = true
      await Promise.all([own.close(), server.close()])
    },
  }
}

/** Repeats while the failure is transient, waiting longer each time, until `retryMs` are over. */
async function withRetries<T>(
  retryMs: number,
  signal: AbortSignal | undefined,
  act: () => Promise<T>,
): Promise<T> {
  const until = performance.now() + retryMs
  for (let waitMs = 50; ; waitMs = Math.min(waitMs * 2, 2000)) {
    try {
      return await act()
    } catch (error) {
      const over = performance.now() + waitMs > until || signal?.aborted
      if (!(error instanceof AuditError) || !isTransient(error) || over) throw error
      await sleep(waitMs * (0.5 + Math.random() / 2), undefined, signal ? { signal } : {}).catch((cause) => {
        throw new AuditError('cancelled', 'stopped by the caller', { cause })
      })
    }
  }
}

const querySettings = { output_format_json_quote_64bit_integers: 0, date_time_output_format: 'iso' } as const
const insertSettings = {
  async_insert: 0,
  // A backlog may span many days, and each day is a partition.
  max_partitions_per_insert_block: '0',
} as const

function clientFor(url: string, options: AuditOptions, database: string | undefined) {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (!parsed || !['http:', 'https:'].includes(parsed.protocol))
    throw new AuditError(
      'invalid_url',
      `audit: ${JSON.stringify(url)} is neither embedded:DIR nor http(s)://HOST:PORT`,
    )
  const loopback = ['127.0.0.1', '[::1]', 'localhost'].includes(parsed.hostname)
  return createClient({
    url: parsed,
    username: options.username,
    password: options.password,
    ...(database === undefined ? {} : { database }),
    application: 'portcullis',
    request_timeout: options.requestTimeoutMs ?? 60_000,
    max_open_connections: 16,
    // Over a network bytes cost more than the processor's time; on loopback it is the other way round.
    compression: { request: !loopback, response: !loopback },
    keep_alive: { enabled: true, idle_socket_ttl: 2500 },
    log: { level: ClickHouseLogLevel.OFF },
  })
}
