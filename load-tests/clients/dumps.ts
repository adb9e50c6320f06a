/** pg_dump and pg_restore of one database, directly and through the gate: the same bytes, and how long each takes. */
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { type Bed, type Side, startBed } from './bed.ts'

const run = promisify(execFile)
/** Of work.document with what belongs to it. */
const rowsPerMegabyte = 430

export interface DumpResult {
  readonly what: string
  readonly megabytes: number
  readonly directSec: number
  readonly gateSec: number
  readonly equal: boolean
  readonly note?: string
}

export async function dumpAndRestore(bin: string, megabytes: number): Promise<readonly DumpResult[]> {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-dumps-'))
  const bed = await startBed({
    settings: { max_wal_size: '4GB', shared_buffers: '128MB', maintenance_work_mem: '128MB' },
  })
  try {
    return await compareDumps(bed.value, { bin, dir, megabytes })
  } finally {
    await bed.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

interface Place {
  readonly bin: string
  readonly dir: string
  readonly megabytes: number
}

async function compareDumps(bed: Bed, place: Place): Promise<DumpResult[]> {
  const { query } = bed.postgres
  await query('create database source')
  const sql = readFileSync(join(import.meta.dirname, 'dumps.sql'), 'utf8')
  await query(sql.replaceAll(':rows', String(Math.round(place.megabytes * rowsPerMegabyte))), [], 'source')
  const { rows } = await query<{ mb: number }>(`select (pg_database_size('source') / 1048576)::int as mb`)
  const size = rows[0]?.mb ?? 0
  const results: DumpResult[] = []
  const formats: readonly (readonly [string, readonly string[]])[] = [
    ['pg_dump, plain', []],
    ['pg_dump -Fc', ['-Fc', '-Z1']],
    ['pg_dump -Fd -j2', ['-Fd', '-Z1', '-j2']],
  ]
  for (const [what, args] of formats)
    results.push({ what, megabytes: size, ...(await dumps(bed, place, args)) })
  results.push({
    what: 'pg_restore -j2 of -Fd, then dumped again',
    megabytes: size,
    ...(await restores(bed, place)),
  })
  return results
}

type Compared = Pick<DumpResult, 'directSec' | 'gateSec' | 'equal' | 'note'>

/** pg_dump 18 puts a random key into plain dumps (\restrict), and the time into the others' headers. */
async function dumps({ direct, gate }: Bed, { bin, dir }: Place, args: readonly string[]): Promise<Compared> {
  const kind = args[0] ?? 'plain'
  const file = (side: Side) => join(dir, `${side.name}${kind}`)
  const dump = (side: Side) => {
    const key = kind === 'plain' ? ['--restrict-key=portcullis'] : []
    return timed(run(join(bin, 'pg_dump'), [...args, ...key, '-f', file(side)], { env: env(side, 'source') }))
  }
  const directSec = await dump(direct)
  const gateSec = await dump(gate)
  const [one, other] = [await digestOf(file(direct)), await digestOf(file(gate))]
  const note = kind === 'plain' ? undefined : "but for the archive's own time in its header"
  return { directSec, gateSec, equal: one === other, ...(note && { note }) }
}

async function restores({ direct, gate, postgres }: Bed, { bin, dir }: Place): Promise<Compared> {
  const restore = async (side: Side) => {
    await postgres.query(`create database restored_${side.name}`)
    const args = ['-j2', '-d', `restored_${side.name}`, join(dir, 'direct-Fd')]
    return timed(run(join(bin, 'pg_restore'), args, { env: env(side, `restored_${side.name}`) }))
  }
  const directSec = await restore(direct)
  const gateSec = await restore(gate)
  const again = (database: string) => digestOfPlain(bin, env(direct, database))
  const [original, one, other] = [
    await again('source'),
    await again('restored_direct'),
    await again('restored_gate'),
  ]
  return { directSec, gateSec, equal: one === other && other === original }
}

async function timed(work: Promise<unknown>): Promise<number> {
  const since = performance.now()
  await work
  return (performance.now() - since) / 1000
}

/**
 * Of all bytes, the names of a folder's files among them; of an archive without the time in its header, which stands
 * behind PGDMP and seven bytes as seven integers of a sign and four bytes (pg_backup_archiver.c, WriteHead).
 */
async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  const add = async (file: string, range: { start: number; end?: number }) => {
    for await (const chunk of createReadStream(file, range)) hash.update(chunk)
  }
  for (const name of statSync(path).isDirectory() ? readdirSync(path).sort() : ['']) {
    const file = join(path, name)
    hash.update(name)
    if (isArchive(file)) {
      await add(file, { start: 0, end: 11 })
      await add(file, { start: 47 })
    } else await add(file, { start: 0 })
  }
  return hash.digest('hex')
}

function isArchive(file: string): boolean {
  const head = Buffer.alloc(5)
  const handle = openSync(file, 'r')
  readSync(handle, head)
  closeSync(handle)
  return head.toString('latin1') === 'PGDMP'
}

async function digestOfPlain(bin: string, of: NodeJS.ProcessEnv): Promise<string> {
  const hash = createHash('sha256')
  const dump = spawn(join(bin, 'pg_dump'), ['--restrict-key=portcullis'], {
    env: of,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await pipeline(dump.stdout, hash)
  return hash.digest('hex')
}

function env(side: Side, database: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PGHOST: side.host,
    PGPORT: String(side.port),
    PGUSER: side.user,
    PGPASSWORD: side.password,
    PGDATABASE: database,
    PGSSLMODE: 'disable',
  }
}
