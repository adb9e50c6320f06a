/**
 * Reading statements: a text that is known already, and how long one session's long statements, none of them known,
 * keep another session. Twice: as the longest turn of the event loop in its own CPU time, which a full machine does not
 * change; and as what the other session waits, where the same two sessions on direct connections tell what of that is
 * the machine's and the server's.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Started } from '@portcullis/kernel'
import { createSqlAnalyzer } from '@portcullis/sql'
import pg from 'pg'
import { perCallUs, texts } from '../classify/texts.ts'
import type { Row } from '../report.ts'
import { startBedProcess } from './bed-process.ts'
import { median, quantile } from './figures.ts'
import type { Bench, Side } from './sides.ts'
import type { Amounts } from './tiny.ts'

/** Judged on the loop: what its turns are without long statements. */
const shortBytes = 200
const sizes = [5_000, 20_000, 100_000, 1_000_000]

export async function classification(bench: Bench, amounts: Amounts): Promise<Row[]> {
  return [...(await cachedTexts()), ...(await turns(bench, amounts)), ...(await waits(bench, amounts))]
}

/** A text that comes again is found by its bytes; one with other literals, where these do not matter, by what it is without. */
async function cachedTexts(): Promise<Row[]> {
  const analyzer = await createSqlAnalyzer({ cacheEntries: 10_000, cacheBytesMax: 64 << 20 })
  const row = (name: string, forms: readonly string[]): Row => {
    const sqls = forms.map((form) => Buffer.from(form))
    let at = 0
    const value = perCallUs(900_000, () => {
      const sql = sqls[at++ % sqls.length] as Buffer
      analyzer.analyzeNow(sql, 0, sql.length)
    })
    return { row: `cached text of ${sqls[0]?.length} bytes, ${name}`, value, unit: 'us', aim: { atMost: 1 } }
  }
  const days = Array.from({ length: 16 }, (_, day) => texts[350].replace('2026-01-01', `2026-01-${day + 10}`))
  try {
    await analyzer.warm()
    return [
      row('whose literals matter', [texts[350].replace(/^select /, 'select f(), ')]),
      row('the same again', [texts[350]]),
      row('with other literals each time', days),
    ]
  } finally {
    await analyzer.close()
  }
}

async function turns(bench: Bench, { seconds, rounds }: Amounts): Promise<Row[]> {
  const bed = await startBedProcess('real', bench.postgres)
  const sender = new pg.Client(clientConfig(bed.value))
  try {
    await sender.connect()
    const rows: Row[] = []
    for (const bytes of [shortBytes, ...sizes]) {
      await sendFor(sender, bytes, 0.5)
      const longest: number[] = []
      for (let round = 0; round < rounds; round++)
        longest.push(await bed.value.longestTurnMs(() => sendFor(sender, bytes, seconds)))
      rows.push({
        row: `longest turn of the event loop while statements of ${bytes / 1000} KB come`,
        value: median(longest),
        unit: 'ms of CPU',
        ...(bytes > shortBytes && { aim: { atMost: 1 } }),
      })
    }
    return rows
  } finally {
    await sender.end()
    await bed.stop()
  }
}

async function waits(bench: Bench, { seconds, rounds }: Amounts): Promise<Row[]> {
  const sides = [bench.direct, bench.gate]
  const rows: Row[] = []
  for (const bytes of [0, ...sizes]) {
    const longest = new Map<string, number[]>(sides.map(({ name }) => [name, []]))
    const all = new Map<string, number[]>(sides.map(({ name }) => [name, []]))
    for (let round = 0; round < rounds; round++) {
      for (const side of sides) {
        const waitsMs = await waitsBeside(side, bytes, seconds)
        longest.get(side.name)?.push(Math.max(...waitsMs))
        all.get(side.name)?.push(...waitsMs)
      }
    }
    rows.push(...rowsOf(bytes, longest, all))
  }
  return rows
}

type Figures = ReadonlyMap<string, readonly number[]>

function rowsOf(bytes: number, longest: Figures, all: Figures): Row[] {
  const what = bytes === 0 ? 'nothing' : `statements of ${bytes / 1000} KB`
  const label = `select 1 beside a session that sends ${what}`
  const of = (name: string) => median(longest.get(name) ?? [])
  return [
    {
      row: `${label}: longest wait, gate against direct`,
      value: of('gate'),
      unit: 'ms',
      against: of('direct'),
    },
    {
      row: `${label}: p99.9, gate against direct`,
      value: quantile(all.get('gate') ?? [], 0.999),
      unit: 'ms',
      against: quantile(all.get('direct') ?? [], 0.999),
    },
    {
      row: `${label}: longest wait that the gate adds`,
      value: of('gate') - of('direct'),
      unit: 'ms',
      ...(bytes > 0 && { aim: { atMost: 1 } }),
    },
  ]
}

async function waitsBeside(side: Side, bytes: number, seconds: number): Promise<number[]> {
  const config = clientConfig(side)
  const pinger = await startPinger(config)
  const sender = new pg.Client(config)
  try {
    await sender.connect()
    await pinger.value.waits(500)
    const waiting = pinger.value.waits(seconds * 1000)
    await sendFor(sender, bytes, seconds)
    return await waiting
  } finally {
    await sender.end()
    await pinger.stop()
  }
}

function clientConfig({ port, user, password }: Side): pg.ClientConfig {
  return { host: '127.0.0.1', port, user, password, database: 'postgres' }
}

/** Sends statements of that length, each another text, one after the other. */
async function sendFor(sender: pg.Client, bytes: number, seconds: number): Promise<void> {
  const untilMs = performance.now() + seconds * 1000
  for (let number = 0; bytes > 0 && performance.now() < untilMs; number++)
    await sender.query(longStatement(bytes, number))
}

/** What an agent sends that inserts many rows at once: long, and full of things to read. */
function longStatement(bytes: number, number: number): string {
  const head = `select count(*) from (values (${number}, '${performance.now()}')`
  const row = `, (17, 'a name of a person')`
  return `${head}${row.repeat(Math.ceil((bytes - head.length - 10) / row.length))}) as v(id, name)`
}

interface Pinger {
  /** Milliseconds that each answer took in that time. */
  waits(ms: number): Promise<number[]>
}

async function startPinger(config: pg.ClientConfig): Promise<Started<Pinger>> {
  const child = fork(join(import.meta.dirname, 'pinger.ts'), [JSON.stringify(config)])
  const gone = once(child, 'exit')
  await once(child, 'message')
  return {
    value: {
      async waits(ms) {
        child.send('start')
        await new Promise((resolve) => setTimeout(resolve, ms))
        child.send('stop')
        const [{ waitsMs }] = (await once(child, 'message')) as [{ waitsMs: number[] }]
        return waitsMs
      },
    },
    async stop() {
      child.disconnect()
      await gone
    },
  }
}
