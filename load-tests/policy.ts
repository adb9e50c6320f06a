// What the policy's decision costs with 200 rules: a statement that was seen before, one that differs in literals, one that
// is new, rules that ask the clock and the session's totals every time, and a session that opens; and what they add to a
// statement from a client's socket and back. And how many disguises of
// a missing WHERE are held. Writes load-tests/results/policy.json.
//
//   npm run bench:policy
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import {
  createPolicy,
  type Judged,
  type Live,
  libraryNames,
  parsePolicy,
  type Subject,
} from '@portcullis/policy'
import { createSqlAnalyzer } from '@portcullis/sql'
import { measureOverTheWire } from './policy/over-the-wire.ts'

interface Row {
  readonly row: string
  readonly p50: number
  readonly p99: number
  readonly cpu: number
  readonly unit: string
  readonly aim: string
  readonly met: boolean
}

const subject: Subject = {
  identity: {
    issuer: 'https://idp.example',
    subject: 'agent:7',
    groups: ['agents', 'team-7'],
    delegation: [],
    instance: 'i',
    task: '',
    ancestors: [],
  },
  protocol: 'postgres',
  target: 'shop',
  labels: { env: 'prod' },
  role: '',
  database: 'shop',
  origin: { address: '192.0.2.7', country: 'DE', region: '', asn: 64500, asOrg: '' },
}
const live: Live = {
  nowMs: Date.now(),
  totals: { commands: 10, rowsOut: 1000, bytesIn: 1000, bytesOut: 100_000, ageMs: 60_000 },
}

/** The library and 190 more, all of them for this session. */
function rulesOf(kind: 'kept' | 'asked every time'): string {
  const library = libraryNames().filter((name) => name !== 'business-hours')
  const own = Array.from({ length: 190 }, (_, at) => {
    const when = `"secret_${at}" in command.tables && command.effects.exists(e, e in ["read", "export"])`
    const asked = kind === 'asked every time' && at < 30
    const time = asked && at % 3 > 0 ? ", time: { days: [sun], from: '03:00', to: '04:00' }" : ''
    const total = asked && at % 3 === 0 ? ` && session.rows_out > ${100_000 + at}` : ''
    return `  - { name: own-${at}, match: { groups: [agents]${time} }, when: '${when}${total}', action: ${at % 2 ? 'hold' : 'block'} }`
  })
  const used = library.map((name) => `  - use: ${name}`)
  return `rules:\n${[...used, ...own].join('\n')}\n  - { name: rest, action: allow }\n`
}

const analyzer = await createSqlAnalyzer({ cacheEntries: 20_000, cacheBytesMax: 64 << 20 })
const read = (sql: string) => {
  const text = Buffer.from(sql)
  return analyzer.analyzeNow(text, 0, text.length)
}
const rows: Row[] = []

for (const kind of ['kept', 'asked every time'] as const) {
  const { rules } = parsePolicy(rulesOf(kind), 'policy.yaml')
  const policy = createPolicy(rules)
  const ruleset = policy.rulesFor(subject)
  const seen = read('select id, name from orders join customers using (id) where id = 7 and f(name) = 8')[0]
  if (!seen) throw new Error('no analysis')
  const aim = 'p50 < 20 us, p99 < 100 us'
  add(`${rules.length} rules, ${kind}: seen before`, 200_000, aim, () => ruleset.judge(seen, () => live))
  const variants = Array.from(
    { length: 2000 },
    (_, at) => read(`select name from orders where id = ${at}`)[0],
  )
  let next = 0
  add(`${rules.length} rules, ${kind}: other literals`, 100_000, aim, () => {
    const one = variants[next++ % variants.length]
    return one && ruleset.judge(one, () => live)
  })
  const fresh = Array.from({ length: 3000 }, (_, at) => read(`select c${at} from orders where id = 1`)[0])
  next = 0
  add(`${rules.length} rules, ${kind}: new`, fresh.length, 'none', () => {
    const one = fresh[next++]
    return one && ruleset.judge(one, () => live)
  })
  add(`${rules.length} rules, ${kind}: a session opens`, 2000, 'none', () => policy.rulesFor(subject))
}

const wire = await measureOverTheWire(rulesOf('kept'))
const added = (figure: 'p50' | 'p99' | 'cpu') => round(wire.withRules[figure] - wire.without[figure])
for (const [row, { p50, p99, cpu }] of [
  ['over the wire, no rules', wire.without],
  ['over the wire, 202 rules', wire.withRules],
] as const)
  rows.push({ row, p50: round(p50), p99: round(p99), cpu: round(cpu), unit: 'us', aim: 'none', met: true })
rows.push({
  ...{ row: 'over the wire: what the rules add', p50: added('p50'), p99: added('p99'), cpu: added('cpu') },
  ...{ unit: 'us', aim: 'p50 < 20 us, p99 < 100 us', met: added('p50') < 20 && added('p99') < 100 },
})
const held = heldOf()
await analyzer.close()
console.table(rows)
console.table(held)
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
mkdirSync(new URL('results/', import.meta.url), { recursive: true })
writeFileSync(
  new URL('results/policy.json', import.meta.url),
  `${JSON.stringify({ commit, date: new Date().toISOString(), rows, held }, undefined, 2)}\n`,
)

function add(row: string, calls: number, aim: string, decide: () => unknown): void {
  const warm = Math.min(calls, 5000)
  if (aim !== 'none') for (let at = 0; at < warm; at += 1) decide()
  const tookNs = new Float64Array(calls)
  const before = process.cpuUsage()
  for (let at = 0; at < calls; at += 1) {
    const from = process.hrtime.bigint()
    decide()
    tookNs[at] = Number(process.hrtime.bigint() - from)
  }
  const { user, system } = process.cpuUsage(before)
  tookNs.sort()
  const at = (share: number) => round((tookNs[Math.floor(share * (calls - 1))] ?? 0) / 1000)
  const [p50, p99] = [at(0.5), at(0.99)]
  const cpu = round((user + system) / calls)
  rows.push({ row, p50, p99, cpu, unit: 'us', aim, met: aim === 'none' || (p50 < 20 && p99 < 100) })
}

function heldOf(): { file: string; statements: number; held: number; met: boolean }[] {
  const { rules } = parsePolicy('rules: [{ use: where-missing }, { name: rest, action: allow }]', 'x')
  const ruleset = createPolicy(rules).rulesFor(subject)
  const isHeld = (judged: readonly Judged[]) => judged.some(({ action }) => action === 'hold')
  return ['tautologies', 'legitimate'].map((file) => {
    const path = new URL(`../packages/sql/corpus/where/${file}.sql`, import.meta.url)
    const texts = readFileSync(path, 'utf8').trim().split('\n')
    const held = texts.filter((sql) =>
      isHeld(read(sql).map((analysis) => ruleset.judge(analysis, () => live))),
    ).length
    return { file, statements: texts.length, held, met: held === (file === 'legitimate' ? 0 : texts.length) }
  })
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
