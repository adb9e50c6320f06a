/**
 * How fast the audit trail takes rows in and answers, on the embedded engine: `node load-tests/audit.ts [ROWS]`. Prints a
 * table and writes load-tests/results/audit.json. Each figure is a median of repeated runs on this machine as it is; the
 * queries go through the public views, each beside the same query on the table without de-duplication.
 */
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, type BusRecord, type CommandEvent, identityKey, topics } from '@portcullis/kernel'
import {
  type AuditStore,
  migrate,
  openAuditStore,
  type QueryParams,
  startEngine,
  type Table,
} from '@portcullis/platform/audit'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { topicSpecs } from './topic-specs.ts'

interface Row {
  readonly row: string
  readonly value: number
  readonly unit: string
  /** What `value` is measured against, in the same unit. */
  readonly against?: { readonly what: string; readonly value: number }
  readonly ratio?: number
  readonly aim?: string
  readonly met?: boolean
  /** Of the engine, for one of them: steadier than time on a busy machine. Linux only. */
  readonly engineCpuMs?: number
}

const rowCount = Number(process.argv[2] ?? 1_000_000)
const streamed = 100_000
const log = { debug() {}, info() {}, warn: console.error, error: console.error }
const codecs = createCodecs()
const day = '2026-11-20'

const listed = 'command_id, started_at, identity, target, verb, text, outcome, rows_out, duration_us'
const below = (aim: number) => ({ aim: `< ${aim}` })
const cpuOf = (of: { engineCpuMs: number | undefined }) =>
  of.engineCpuMs === undefined ? {} : { engineCpuMs: of.engineCpuMs }
const above = (aim: number) => ({ aim: `> ${aim}` })

const text = 'LowCardinality(String)'
const narrow: Table<CommandEvent> = {
  name: 'commands_log',
  columns: [
    { name: 'event_id', type: 'String', of: (event) => event.eventId },
    { name: 'command_id', type: 'String', of: (event) => event.commandId },
    { name: 'phase', type: text, of: (event) => event.phase },
    { name: 'session_id', type: 'String', of: (event) => event.sessionId },
    { name: 'recorder', type: text, of: (event) => event.link.recorder },
    { name: 'seq', type: 'Int64', of: (event) => event.link.seq },
    { name: 'prev_hash', type: 'FixedString(32)', of: (event) => event.link.prevHash },
    { name: 'hash', type: 'FixedString(32)', of: (event) => event.link.hash },
    { name: 'identity', type: text, of: (event) => identityKey(event.identity) },
    { name: 'target', type: text, of: (event) => event.target },
    { name: 'database', type: text, of: (event) => event.database },
    { name: 'protocol', type: text, of: (event) => event.protocol },
    { name: 'origin_address', type: 'String', of: (event) => event.origin.address },
    { name: 'origin_country', type: text, of: (event) => event.origin.country },
    { name: 'text', type: 'String', of: (event) => event.text },
    { name: 'fingerprint', type: 'String', of: (event) => event.fingerprint },
    { name: 'verb', type: text, of: (event) => event.verb },
    { name: 'effects', type: `Array(${text})`, of: (event) => event.effects },
    { name: 'privileged', type: 'Bool', of: (event) => event.privileged },
    { name: 'decision_action', type: text, of: (event) => event.decision.action },
    { name: 'outcome', type: text, of: (event) => event.outcome },
    { name: 'rows_out', type: 'Int64', of: (event) => event.rowsOut },
    { name: 'bytes_out', type: 'Int64', of: (event) => event.bytesOut },
    { name: 'started_at', type: 'DateTime64(6)', of: (event) => event.startedAt },
    { name: 'duration_us', type: 'Int64', of: (event) => event.durationUs },
  ],
}

const dir = mkdtempSync(join(tmpdir(), 'portcullis-bench-audit-'))
const engine = await startEngine({ dir: join(dir, 'engine'), log })
const store = openAuditStore(engine.value.url, { ...engine.value, log })
try {
  await migrate(store, { log })
  const rows = [
    ...(await measureInserts(store)),
    await measureProjector(store),
    ...(await measureQueries(store)),
  ]
  report(rows)
} finally {
  await store.close()
  await engine.stop()
  rmSync(dir, { recursive: true, force: true })
}

async function measureInserts(store: AuditStore): Promise<Row[]> {
  const rows: Row[] = []
  const events = Array.from({ length: 20_000 }, (_, n) => commandOf(n))
  await store.insert(narrow, events.slice(0, 1000))
  const small = await median(15, () => store.insert(narrow, events.slice(0, 1000)))
  rows.push({
    row: 'insert of 1,000 rows, 25 columns',
    value: small.ms,
    unit: 'ms',
    ...below(50),
    ...cpuOf(small),
  })
  const large = await median(5, () => store.insert(narrow, events))
  const perSec = Math.round(20_000_000 / large.ms)
  rows.push({
    row: 'insert in batches of 20,000, 25 columns',
    value: perSec,
    unit: 'rows/s',
    ...above(20_000),
    ...cpuOf(large),
  })
  await store.command('TRUNCATE TABLE commands_log')
  return rows
}

/** From a full bus to rows with all columns, by the projector's own process. */
async function measureProjector(store: AuditStore): Promise<Row> {
  const busUrl = `lmdb:${join(dir, 'bus')}`
  const bus = await connectBus(busUrl, { logger: log })
  await bus.value.ensureTopics(topicSpecs(4))
  for (let n = 0; n < streamed; n += 5000) await publish(bus.value, n, 5000)
  const config = join(dir, 'portcullis.yaml')
  writeFileSync(config, configText(busUrl))
  const script = join(import.meta.dirname, '../services/query-api/src/projector/main.ts')
  const child = spawn(process.execPath, [script, '--config', config], {
    env: {
      PATH: process.env.PATH,
      PORTCULLIS_ENGINE_URL: engine.value.url,
      PORTCULLIS_ENGINE_PASSWORD: engine.value.password,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  try {
    const count = async () =>
      Number((await store.query<{ n: number }>('SELECT count() AS n FROM commands_log'))[0]?.n)
    while ((await count()) === 0) await sleep(5)
    const started = performance.now()
    const first = await count()
    while ((await count()) < streamed) await sleep(20)
    const perSec = Math.round(((streamed - first) * 1000) / (performance.now() - started))
    return { row: 'projector, bus to all 68 columns', value: perSec, unit: 'rows/s', ...above(5000) }
  } finally {
    child.kill('SIGTERM')
    await new Promise((resolve) => child.once('exit', resolve))
    await bus.stop()
    await store.command('TRUNCATE TABLE commands_log')
  }
}

async function measureQueries(store: AuditStore): Promise<Row[]> {
  for (let from = 0; from < rowCount; from += 250_000)
    await store.command(fill(from, Math.min(250_000, rowCount - from)))
  const session = 's4321'
  const identity = 'https://idp.example|agent-77'
  const cases: readonly [string, string, QueryParams, number][] = [
    ['latest 100 of all', `SELECT ${listed} FROM T ORDER BY started_at DESC LIMIT 100`, {}, 250],
    [
      'latest 100 within the last hour',
      `SELECT ${listed} FROM T WHERE started_at >= toDateTime64('${day} 23:00:00', 6, 'UTC') ORDER BY started_at DESC LIMIT 100`,
      {},
      100,
    ],
    [
      'one session',
      `SELECT ${listed} FROM T WHERE session_id = {session:String} ORDER BY started_at LIMIT 1000`,
      { session },
      100,
    ],
    ['one command by id', `SELECT * FROM T WHERE command_id = {id:String}`, { id: `${session}.40` }, 100],
    [
      "one identity's day",
      `SELECT count() AS n, sum(rows_out) AS r, uniq(session_id) AS s FROM T WHERE identity = {identity:String}
        AND started_at >= toDateTime64('${day}', 6, 'UTC') AND started_at < toDateTime64('${day}', 6, 'UTC') + INTERVAL 1 DAY`,
      { identity },
      100,
    ],
    [
      'token search, latest 100',
      `SELECT ${listed} FROM T WHERE hasAllTokens(text, {token:String}) ORDER BY started_at DESC LIMIT 100`,
      { token: 'customer4242' },
      150,
    ],
    [
      'top ten identities of the day',
      'SELECT identity, count() AS n, sum(bytes_out) AS b FROM T GROUP BY identity ORDER BY n DESC LIMIT 10',
      {},
      1000,
    ],
  ]
  const rows: Row[] = []
  for (const [what, sql, params, aim] of cases) {
    const run = (table: string) =>
      median(9, () => store.query(sql.replace(' FROM T', ` FROM ${table}`), params))
    const found = await run('commands')
    const raw = await run('commands_log')
    const against = { what: 'without de-duplication', value: raw.ms }
    const ratio = round(found.ms / raw.ms)
    rows.push({ row: what, value: found.ms, unit: 'ms', against, ratio, ...below(aim), ...cpuOf(found) })
  }
  rows.push(diskRow())
  return rows
}

/** A day of commands of 500 identities in sessions of 50, in the order in which they would come. */
function fill(from: number, count: number): string {
  const spacing = 86_400_000_000 / rowCount
  return `INSERT INTO commands_log (event_id, command_id, phase, session_id, recorder, seq, prev_hash, hash, identity, issuer,
    subject, target, protocol, origin_address, origin_country, text, fingerprint, verb, effects, objects, decision_action,
    outcome, rows_out, bytes_out, started_at, duration_us, version)
  SELECT 'r.' || toString(number), 's' || toString(session) || '.' || toString(intDiv(number, 500) % 50), 'finished',
    's' || toString(session), 'r' || toString(number % 4), number, unhex(hex(SHA256(toString(number)))),
    unhex(hex(SHA256(toString(number + 1)))), 'https://idp.example|' || who, 'https://idp.example', who,
    'target' || toString(number % 7), 'postgres', '10.0.0.' || toString(number % 250), 'DE',
    'select id, total, note from orders join customer' || toString(number % 20000) || ' using (id) where total > ' || toString(number % 977) || ' and token_' || toString(rand() % 1000000) || ' = 1',
    toString(number % 3000), 'SELECT', ['read'], [('table', 'public', 'orders', 'read', ['id'])], 'allow', 'ok', number % 100,
    number % 10000, toDateTime64('${day}', 6, 'UTC') + toIntervalMicrosecond(intDiv(number * ${Math.round(spacing * 1000)}, 1000)), number % 100000,
    3377699720527872
  FROM (SELECT number, intDiv(number, 25000) * 500 + number % 500 AS session, 'agent-' || toString(number % 500) AS who
        FROM numbers(${from}, ${count}))`
}

function commandOf(n: number): CommandEvent {
  const hash = createHash('sha256').update(String(n)).digest()
  const sessionId = `s${n % 200}`
  return {
    eventId: `r.${n}`,
    commandId: `${sessionId}.${n}`,
    phase: 'finished',
    sessionId,
    link: { recorder: 'r', seq: n + 1, prevHash: hash, hash },
    identity: {
      issuer: 'https://idp.example',
      subject: `agent-${n % 200}`,
      groups: ['ci'],
      delegation: [],
      instance: `jti-${n % 200}`,
      task: '',
      ancestors: [],
    },
    target: 'shop',
    role: '',
    database: 'orders',
    protocol: 'postgres',
    origin: { address: '10.1.2.3', country: 'DE', region: '', asn: 64500, asOrg: 'Example AS' },
    stage: 'run',
    text: `select id, total from orders where customer = ${n} and total > 100`,
    textBytes: 64,
    fingerprint: `f${n % 3000}`,
    verb: 'SELECT',
    effects: ['read'],
    objects: [
      { kind: 'table', namespace: 'public', name: 'orders', effect: 'read', columns: ['id', 'total'] },
    ],
    privileged: false,
    decision: {
      id: '',
      action: 'allow',
      reason: '',
      rule: '',
      verdictId: '',
      approvalId: '',
      policyVersion: '1',
      enforced: true,
      delayUs: 0,
    },
    attributes: {},
    outcome: 'ok',
    errorCode: '',
    tag: 'SELECT 3',
    rowsIn: 0,
    rowsOut: 3,
    rowsAffected: 0,
    bytesIn: 64,
    bytesOut: 300,
    masked: [],
    startedAt: Date.UTC(2026, 10, 20) * 1000 + n * 500_000,
    durationUs: 1234,
    proxy: { name: 'proxy', version: '0.1.0' },
  }
}

async function publish(bus: Bus, from: number, count: number): Promise<void> {
  const records: BusRecord[] = []
  for (let n = from; n < from + count; n++) {
    const event = commandOf(n)
    records.push({
      topic: topics.commands,
      key: identityKey(event.identity),
      value: codecs.command.encode(event),
    })
  }
  await bus.publish(records)
}

function configText(busUrl: string): string {
  return `
dataDir: ${JSON.stringify(join(dir, 'data'))}
bus: ${JSON.stringify(busUrl)}
audit: ${JSON.stringify(`embedded:${join(dir, 'engine')}`)}
log: { level: error }
identity: { issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }] }
targets:
  - { name: shop, protocol: postgres, address: '127.0.0.1:1', credentials: { user: x }, groups: ['*'] }
proxy: { recorder: { onUnavailable: deny } }
projector: { health: '127.0.0.1:0' }
`
}

function diskRow(): Row {
  const bytes = sizeOf(join(dir, 'engine', 'data'))
  return { row: `disk for ${rowCount.toLocaleString('en')} rows`, value: round(bytes / 2 ** 20), unit: 'MiB' }
}

function sizeOf(path: string): number {
  const found = statSync(path)
  if (!found.isDirectory()) return found.size
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0)
}

async function median(
  times: number,
  act: () => Promise<unknown>,
): Promise<{ ms: number; engineCpuMs: number | undefined }> {
  await act()
  const took: number[] = []
  const cpuBefore = engineCpuMs()
  for (let n = 0; n < times; n++) {
    const started = performance.now()
    await act()
    took.push(performance.now() - started)
  }
  const cpu = cpuBefore === undefined ? undefined : round(((engineCpuMs() ?? 0) - cpuBefore) / times)
  return { ms: round(took.sort((a, b) => a - b)[Math.floor(times / 2)] ?? 0), engineCpuMs: cpu }
}

/** User and system time so far, from /proc (proc(5), stat; 100 ticks a second). */
function engineCpuMs(): number | undefined {
  if (process.platform !== 'linux') return undefined
  const fields = readFileSync(`/proc/${engine.value.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

function report(rows: readonly Row[]): void {
  const judged = rows.map((row) => {
    const [sign, aim] = row.aim?.split(' ') ?? []
    return sign ? { ...row, met: sign === '<' ? row.value < Number(aim) : row.value > Number(aim) } : row
  })
  console.table(
    judged.map(({ row, value, unit, against, ratio, aim, met, engineCpuMs }) => ({
      row,
      value,
      unit,
      against: against?.value,
      ratio,
      aim,
      met,
      engineCpuMs,
    })),
  )
  const git = (...args: string[]) =>
    execFileSync('git', args, { encoding: 'utf8', cwd: import.meta.dirname }).trim()
  const results = join(import.meta.dirname, 'results')
  mkdirSync(results, { recursive: true })
  const machine = { cores: availableParallelism(), loadAverage: loadavg().map(round) }
  const found = { commit: git('rev-parse', 'HEAD'), date: new Date().toISOString(), machine, rows: judged }
  writeFileSync(join(results, 'audit.json'), `${JSON.stringify(found, null, 2)}\n`)
}
