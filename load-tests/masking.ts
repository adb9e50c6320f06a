/**
 * What masking costs: one large result with one text column masked, by each method, against the same result through the same
 * gate for somebody who may see it all, in turn in one run; medians of the rounds. For the keyed hash the gate's CPU beyond
 * the clear result's, against what the HMACs alone take. And the worker's memory meanwhile.
 *
 *   npm run bench:masking [-- --megabytes 1000 --rounds 5]
 */
import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { residentBytes, startSystem, type System } from '@portcullis/testkit/system'
import { cpuOf, median, sum } from './postgres/figures.ts'
import { partsOf } from './postgres/sides.ts'
import { message, startup } from './postgres/wire.ts'
import { report, type Row } from './report.ts'

const { values } = parseArgs({
  options: { megabytes: { type: 'string', default: '1000' }, rounds: { type: 'string', default: '5' } },
})
const resultBytes = Number(values.megabytes) * 1e6
const rounds = Number(values.rounds)
const methods = ['redact', 'partial', 'null'] as const
/** Bytes of the values that are hashed. */
const sizes = [40, 200, 2000] as const
const plainBytes = 40
/** Of the column beside it, where it is not hashed. */
const noteBytes = 150
const tableRows = 20_000
const tailBytes = 1024
const readyForQuery = message('Z', Buffer.from('I'))

const policy = `
rules:
  - { name: all, action: allow }
${[...methods, 'hash']
  .map(
    (method) =>
      `  - { name: by-${method}, match: { subjects: [${method}-agent] }, action: mask, mask: { columns: ["*.secret"], method: '${method}' } }`,
  )
  .join('\n')}
`

interface Passed {
  readonly elapsedSec: number
  readonly cpuSec: number
  readonly grownBytes: number
}

interface Result {
  readonly query: string
  readonly rows: number
}

const postgres = await startPostgres({ auth: 'password', fsync: false })
try {
  await fill(postgres.value)
  const system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    workers: 1,
    policy,
    extra: { masking: 'key: env:OWN_KEY' },
  })
  try {
    report('masking', [...(await plainMethods(system.value)), ...(await hashes(system.value))])
  } finally {
    await system.stop()
  }
} finally {
  await postgres.stop()
}

async function plainMethods(system: System): Promise<Row[]> {
  const result = resultOf('plain', plainBytes + noteBytes)
  const passed = await inTurn(system, ['clear', ...methods], result)
  const megabytes = (result.rows * (plainBytes + noteBytes)) / 1e6
  const of = (name: string, figure: (one: Passed) => number) => median((passed.get(name) ?? []).map(figure))
  return methods.flatMap((method): Row[] => [
    {
      row: `${method}: throughput against the clear result`,
      value: megabytes / of(method, ({ elapsedSec }) => elapsedSec),
      unit: 'MB/s',
      against: megabytes / of('clear', ({ elapsedSec }) => elapsedSec),
      aim: { atLeast: 0.92 },
    },
    {
      row: `${method}: CPU of the gate against the clear result's`,
      value: (of(method, ({ cpuSec }) => cpuSec) / megabytes) * 1000,
      unit: 's/GB',
      against: (of('clear', ({ cpuSec }) => cpuSec) / megabytes) * 1000,
    },
    memoryRow(
      method,
      of(method, ({ grownBytes }) => grownBytes),
    ),
  ])
}

async function hashes(system: System): Promise<Row[]> {
  const all: Row[] = []
  for (const size of sizes) {
    const result = resultOf(`hashed_${size}`, size)
    const passed = await inTurn(system, ['clear', 'hash'], result)
    const of = (name: string, figure: (one: Passed) => number) => median((passed.get(name) ?? []).map(figure))
    const added = of('hash', ({ cpuSec }) => cpuSec) - of('clear', ({ cpuSec }) => cpuSec)
    all.push(
      {
        row: `hash of ${size} bytes: CPU added to a value, against the HMAC alone`,
        value: (added / result.rows) * 1e6,
        unit: 'us',
        against: hmacUs(size),
        aim: { atMost: 1.3 },
      },
      memoryRow(
        `hash of ${size} bytes`,
        of('hash', ({ grownBytes }) => grownBytes),
      ),
    )
  }
  return all
}

function memoryRow(name: string, grownBytes: number): Row {
  return {
    row: `${name}: growth of the worker's memory`,
    value: grownBytes / 1e6,
    unit: 'MB',
    aim: { atMost: 32 },
  }
}

/** Node's own HMAC-SHA-256 of a value, with its key made once: microseconds of CPU. */
function hmacUs(size: number): number {
  const key = createSecretKey(randomBytes(32))
  const bytes = randomBytes(size * 1000)
  const count = 200_000
  const runs = Array.from({ length: 3 }, () => {
    const before = process.cpuUsage()
    for (let at = 0; at < count; at++) {
      const from = (at % 1000) * size
      createHmac('sha256', key)
        .update(bytes.subarray(from, from + size))
        .digest()
    }
    const { user, system } = process.cpuUsage(before)
    return (user + system) / count
  })
  return median(runs)
}

async function fill({ query }: Postgres): Promise<void> {
  const text = (bytes: number) => `substr(repeat(md5(g::text), ${Math.ceil(bytes / 32)}), 1, ${bytes})`
  const made = (name: string, secret: number) =>
    query(
      `create table ${name} as select g as id, ${text(secret)} as secret, ${text(name === 'plain' ? noteBytes : 1)} as note
         from generate_series(1, ${tableRows}) g; alter table ${name} alter secret set storage plain; analyze ${name}`,
    )
  await made('plain', plainBytes)
  for (const size of sizes) await made(`hashed_${size}`, size)
}

/** The table as often as makes the result large enough. */
function resultOf(table: string, rowBytes: number): Result {
  const times = Math.max(1, Math.round(resultBytes / (rowBytes * tableRows)))
  return {
    query: `select t.id, t.secret, t.note from generate_series(1, ${times}) as times, ${table} as t`,
    rows: times * tableRows,
  }
}

async function inTurn(
  system: System,
  names: readonly string[],
  { query }: Result,
): Promise<ReadonlyMap<string, Passed[]>> {
  const clients = new Map<string, Sink>()
  for (const name of names) clients.set(name, await open(system, name))
  const passed = new Map<string, Passed[]>(names.map((name) => [name, []]))
  // The first is for the engine to compile what it meets.
  for (let round = 0; round <= rounds; round++)
    for (const [name, client] of clients) {
      const one = await pass(system, client, query)
      if (round > 0) passed.get(name)?.push(one)
    }
  for (const client of clients.values()) client.socket.destroy()
  return passed
}

async function pass(system: System, client: Sink, query: string): Promise<Passed> {
  const [worker = 0] = system.childrenOf('proxy', 'worker.ts')
  const before = residentBytes(worker)
  let peak = before
  const watching = setInterval(() => {
    peak = Math.max(peak, residentBytes(worker))
  }, 50)
  const sinceMs = performance.now()
  let elapsedSec = 0
  const { cpu } = await cpuOf(partsOf(system), async () => {
    await client.ask(query)
    elapsedSec = (performance.now() - sinceMs) / 1000
  })
  clearInterval(watching)
  return { elapsedSec, cpuSec: sum(Object.values(cpu)), grownBytes: peak - before }
}

/** A client that throws away what it gets. */
interface Sink {
  readonly socket: Socket
  /** Resolves at the ReadyForQuery, with the last few bytes before it. */
  ask(query: string): Promise<Buffer>
}

async function open(system: System, name: string): Promise<Sink> {
  const token = await system.token(`${name}-agent`)
  const socket = connect({ host: '127.0.0.1', port: system.port() })
  await once(socket, 'connect')
  let tail: Buffer = Buffer.alloc(0)
  let ready: (() => void) | undefined
  socket.on('data', (chunk: Buffer) => {
    tail =
      chunk.length >= tailBytes
        ? Buffer.from(chunk.subarray(-tailBytes))
        : Buffer.concat([tail, chunk]).subarray(-tailBytes)
    if (tail.subarray(-readyForQuery.length).equals(readyForQuery)) ready?.()
  })
  socket.on('error', (error) => {
    throw error
  })
  const sink: Sink = {
    socket,
    async ask(query) {
      const answered = new Promise<void>((resolve) => {
        ready = resolve
      })
      socket.write(message('Q', query))
      await answered
      return tail
    },
  }
  const signedIn = new Promise<void>((resolve) => {
    ready = resolve
  })
  socket.write(Buffer.concat([startup('shop'), message('p', token)]))
  await signedIn
  // Until the target's catalogue has been read, nobody can tell what anything shows.
  while (!(await sink.ask(`select note from plain limit 1`)).includes('c4ca4238')) await sleep(100)
  return sink
}
