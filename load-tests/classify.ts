// What judging a statement costs: a hit by its exact text, a hit by its form without literals, a miss, and the worst
// texts at the limit of what is judged on the loop. Prints a table and writes load-tests/results/classify.json.
//
//   node load-tests/classify.ts
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createSqlAnalyzer, type SqlAnalyzer } from '@portcullis/sql'
import { perCallUs, texts } from './classify/texts.ts'

interface Row {
  readonly row: string
  readonly value: number
  readonly unit: string
  readonly against: string
  readonly ratio: number
  readonly aim: string
  readonly met: boolean
}

const options = { cacheEntries: 20_000, cacheBytesMax: 64 << 20 }
const cached = await createSqlAnalyzer(options)
const uncached = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
await Promise.all([cached.warm(), uncached.warm()])
const rows: Row[] = []

for (const [bytes, text] of Object.entries(texts)) {
  // Wrapped in a call that nobody vouches for, so that its literals matter and the exact text is the key.
  const exact = Buffer.from(text.replace(/;$/, '').replace(/^select /, 'select f(), '))
  const hit = perCallUs(900_000, () => cached.analyzeNow(exact, 0, exact.length))
  add(`exact hit, ${exact.length} bytes`, hit, 'us', '<= 1 us up to 350 bytes', hit <= 1, hit)

  const variants = Array.from({ length: 1000 }, (_, at) =>
    Buffer.from(text.replace(/\d+(?=;|$)/, String(100_000 + at))),
  )
  for (const sql of variants) cached.analyzeNow(sql, 0, sql.length)
  let next = 0
  const stripped = perCallUs(450_000, () => {
    const sql = variants[next++ % variants.length] as Buffer
    cached.analyzeNow(sql, 0, sql.length)
  })
  add(`hit without literals, ${text.length} bytes`, stripped, 'us', 'none', true, hit)

  const sql = Buffer.from(text)
  const miss = perCallUs(3000, () => uncached.analyzeNow(sql, 0, sql.length))
  add(`miss, ${bytes} bytes`, miss, 'us', 'none', true, hit)
}

const long = Buffer.from(
  `select ${Array.from({ length: 180 }, (_, at) => `t.column_${at} as c${at}`).join(', ')} from t`,
)
add(
  'miss on the loop, 1,024 bytes',
  missUs(uncached, long.subarray(0, 1015), ' from t'),
  'us',
  '<= 1000 us',
  false,
  0,
)
const road = await longUs(long)
add(`miss by the worker, ${long.length} bytes: latency`, road.latencyUs, 'us', 'none', true, 0)
add(
  `miss by the worker, ${long.length} bytes: time on the loop`,
  road.loopUs,
  'us',
  '<= 1000 us',
  road.loopUs <= 1000,
  0,
)

await Promise.all([cached.close(), uncached.close()])
console.table(rows.map(({ row, value, unit, aim, met }) => ({ row, value, unit, aim, met })))
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
mkdirSync(new URL('results/', import.meta.url), { recursive: true })
writeFileSync(
  new URL('results/classify.json', import.meta.url),
  `${JSON.stringify({ commit, date: new Date().toISOString(), rows }, undefined, 2)}\n`,
)

function missUs(analyzer: SqlAnalyzer, head: Buffer, tail: string): number {
  const sql = Buffer.from(`${head.toString().replace(/,[^,]*$/, '')}${tail}`)
  return perCallUs(900, () => analyzer.analyzeNow(sql, 0, sql.length))
}

async function longUs(sql: Buffer): Promise<{ latencyUs: number; loopUs: number }> {
  const latencies: number[] = []
  const loops: number[] = []
  for (let run = 0; run < 200; run += 1) {
    const started = performance.now()
    const promise = uncached.analyze(sql, 0, sql.length)
    const sent = performance.now()
    await promise
    latencies.push((performance.now() - started) * 1000)
    loops.push((sent - started) * 1000)
  }
  const median = (values: number[]): number =>
    values.sort((left, right) => left - right)[values.length >> 1] ?? 0
  return { latencyUs: median(latencies), loopUs: median(loops) }
}

function add(row: string, value: number, unit: string, aim: string, met: boolean, against: number): void {
  const rounded = Math.round(value * 100) / 100
  const limit = /<= (\d+)/.exec(aim)
  rows.push({
    row,
    value: rounded,
    unit,
    against: against === 0 || against === value ? '' : 'exact hit',
    ratio: against === 0 ? 1 : Math.round((value / against) * 10) / 10,
    aim,
    met: limit === null ? met : value <= Number(limit[1]),
  })
}
