/**
 * Reads a target's catalogue over a connection of the gate's own, as a session's role would see it:
 *
 *   gate                                      server
 *   StartupMessage, sign-in          ->       application_name portcullis-catalogue
 *   Query: limits, version, path     ->
 *                                    <-       rows
 *   Query: the catalogue             ->       in a read-only transaction, all names with their schema
 *                                    <-       rows (kind, json)
 *   Terminate                        ->
 *
 * It asks nothing that an agent chose. Bounded in time by the server and here, in size here.
 */
import { CodedError, type TargetAccess } from '@portcullis/kernel'
import { type CatalogueData, catalogueOf, catalogueQuery, catalogueVersionMin } from '@portcullis/sql'
import { ByteReader } from './byte-reader.ts'
import { openUpstream } from './hosts.ts'
import type { Upstream } from './upstream.ts'
import { backend, cstring, frontend, message, readFields } from './wire.ts'

export type CatalogueErrorCode = 'too_old' | 'too_large' | 'refused' | 'protocol'

export class CatalogueError extends CodedError<CatalogueErrorCode> {}

export interface Loaded {
  readonly data: CatalogueData
  /** Where a session that sets nothing looks for names. */
  readonly path: readonly string[]
}

const statementMsMax = 10_000
const bytesMax = 33_554_432

const preparation = `
set statement_timeout = ${statementMsMax}; set lock_timeout = 1000; set default_transaction_read_only = on;
select current_setting('server_version_num'), array_to_json(current_schemas(false))::text`

/** @throws CatalogueError, UpstreamError, StreamEnded. Ends the connection in any case, and when the signal says so. */
export async function loadCatalogue(access: TargetAccess, signal: AbortSignal): Promise<Loaded> {
  const upstream = await openUpstream(access, { application_name: 'portcullis-catalogue' })
  const { socket } = upstream.source
  const end = () => socket.destroy()
  socket.on('error', () => undefined)
  signal.addEventListener('abort', end)
  if (signal.aborted) end()
  try {
    const session = new Session(upstream)
    const [[version = '0', path = '[]'] = []] = await session.ask(preparation)
    if (Number(version) < catalogueVersionMin)
      throw new CatalogueError('too_old', `the catalogue of server version ${version} is not read`)
    const query = catalogueQuery(Number(version))
    const data = catalogueOf(
      await session.ask(`begin read only; set local search_path = pg_catalog; ${query}; commit`),
    )
    return { data, path: JSON.parse(path ?? '[]') }
  } finally {
    signal.removeEventListener('abort', end)
    socket.end(message(frontend.terminate), end)
  }
}

type Rows = readonly (readonly (string | null)[])[]

class Session {
  readonly #upstream: Upstream
  readonly #reader: ByteReader

  constructor(upstream: Upstream) {
    this.#upstream = upstream
    this.#reader = new ByteReader(upstream.source)
  }

  /** The rows of all statements of a simple query. */
  async ask(sql: string): Promise<Rows> {
    this.#upstream.source.socket.write(message(frontend.query, cstring(sql)))
    const rows: (string | null)[][] = []
    let bytes = 0
    let failure: CatalogueError | undefined
    for (;;) {
      const header = await this.#reader.take(5)
      const length = header.readUInt32BE(1) - 4
      bytes += length
      if (!(length >= 0) || bytes > bytesMax)
        throw new CatalogueError('too_large', `the catalogue is larger than ${bytesMax} bytes`)
      const payload = await this.#reader.take(length)
      if (header[0] === backend.dataRow) rows.push(rowOf(payload))
      else if (header[0] === backend.error) {
        const { C: sqlstate = '', M: text = '' } = readFields(payload)
        failure ??= new CatalogueError('refused', `${sqlstate}: ${text}`)
      } else if (header[0] === backend.readyForQuery) {
        if (failure) throw failure
        return rows
      }
    }
  }
}

function rowOf(payload: Buffer): (string | null)[] {
  const values: (string | null)[] = []
  let at = 2
  for (let left = payload.readUInt16BE(0); left > 0; left--) {
    const length = payload.readInt32BE(at)
    at += 4
    values.push(length < 0 ? null : payload.toString('utf8', at, at + length))
    at += Math.max(length, 0)
  }
  return values
}
