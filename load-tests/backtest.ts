/**
 * A policy tried on a million commands that really ran: through the gate with rules in force, PostgreSQL behind it, the bus and the
 * projector into ClickHouse. The rules that were in force must come out as they were enforced, command by command, and a
 * changed policy must differ in exactly what it changes; what was enforced is counted on the clients' wire. Then how long it took.
 *
 *   node load-tests/backtest.ts [--commands N]
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { openAuditStore } from '@portcullis/platform/audit'
import { startPostgres } from '@portcullis/testkit/postgres'
import { cpuSec, startSystem, type System } from '@portcullis/testkit/system'
import { type Counts, runSession } from './backtest/session.ts'
import { report } from './report.ts'

const { values: args } = parseArgs({ options: { commands: { type: 'string', default: '1000000' } } })
const wanted = Number(args.commands)
const perSession = Math.min(2500, wanted)
const identities = 60
const atOnce = 6

const policy = `
rules:
  - { name: reads, when: 'command.effects.all(e, e == "read")', action: allow }
  - { name: changes, when: 'command.effects.all(e, e in ["read", "write", "delete"])', action: allow }
  - { use: where-missing }
  - { use: privilege-changes }
  - { use: business-hours, observe: true }
  - { name: watched, when: '"log" in command.tables && command.verb == "INSERT"', action: block, observe: true }
  - name: much
    match: { subjects: ['agent-1*'] }
    when: session.rows_out > 1000 && command.verb == "UPDATE"
    action: hold
  - { name: secrets, match: { groups: [agents] }, when: '"secrets" in command.tables', action: block }
`
/** What is enforced that was only observed, what is held no longer, what is blocked no longer. */
const changed = policy
  .replace('INSERT"\', action: block, observe: true', 'INSERT"\', action: block')
  .replace('- { use: where-missing }', '- { name: x, alert: info, when: command.privileged }')
  .replace('"secrets" in', '"other_secrets" in')

interface Report {
  readonly commands: number
  readonly same: number
  readonly otherRule: number
  readonly changed: number
  readonly leftOut: Readonly<Record<string, number>>
  readonly doubtful: { readonly commands: number }
  readonly changes: readonly {
    readonly from: string
    readonly to: string
    readonly rule: string
    readonly commands: number
  }[]
  readonly rules: Readonly<Record<string, { readonly decides: number }>>
}

const postgres = await startPostgres()
await postgres.value.query(
  `create table items (id int primary key, n int); insert into items select g, g from generate_series(1, 1000) g;
   create table log (id bigint, said text); create table secrets (a int)`,
)
const system = await startSystem({
  postgres: postgres.value,
  parts: ['proxy', 'projector', 'query-api'],
  workers: 2,
  // Nobody answers, and nobody waits for them.
  extra: { approvals: 'waitSec: 0\nwaitInTransactionSec: 0' },
})
try {
  await ask('PUT', 'config/policies/bench', { text: policy })
  await sleep(3000)
  const fromUs = Date.now() * 1000
  const counts: Counts = { sent: {}, refused: {} }
  const startedMs = performance.now()
  await sendAll(counts)
  const sent = Object.values(counts.sent).reduce((sum, n) => sum + n, 0)
  const ranSec = (performance.now() - startedMs) / 1000
  console.log(`${sent} commands in ${Math.round(ranSec)} s`, counts)
  await projected(sent, fromUs)
  const live = await backtest(fromUs, undefined)
  const other = await backtest(fromUs, changed)
  judge(sent, counts, live.report, other.report)
  report('backtest', [
    { row: 'commands that ran through the gate', value: sent, unit: 'commands' },
    {
      row: 'rules in force: come out otherwise',
      value: live.report.changed,
      unit: 'commands',
      aim: { atMost: 0 },
    },
    {
      row: 'rules in force: by another rule',
      value: live.report.otherRule,
      unit: 'commands',
      aim: { atMost: 0 },
    },
    {
      row: 'rules in force: not judged exactly',
      value: live.report.doubtful.commands,
      unit: 'commands',
      aim: { atMost: 0 },
    },
    { row: 'rules in force: time', value: live.sec, unit: 's', aim: { atMost: 60 } },
    {
      row: 'rules in force: CPU of the API and ClickHouse',
      value: live.cpuSec,
      unit: 's',
      aim: { atMost: 60 },
    },
    { row: 'changed rules: come out otherwise', value: other.report.changed, unit: 'commands' },
    { row: 'changed rules: time', value: other.sec, unit: 's', aim: { atMost: 60 } },
    {
      row: 'changed rules: CPU of the API and ClickHouse',
      value: other.cpuSec,
      unit: 's',
      aim: { atMost: 60 },
    },
  ])
} finally {
  await system.stop()
  await postgres.stop()
}

async function sendAll(counts: Counts): Promise<void> {
  const { port, token } = system.value as System
  let next = 0
  const many = Math.ceil(wanted / perSession)
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let at = next++; at < many; at = next++) {
        const commands = Math.min(perSession, wanted - at * perSession)
        const password = await token(`agent-${at % identities}`)
        await runSession({ port: port(), user: 'shop', password }, at, commands, counts)
        if (at % 40 === 39) console.log(`${(at + 1) * perSession} of ${wanted}`)
      }
    }),
  )
}

async function projected(count: number, fromUs: number): Promise<void> {
  const { engine } = system.value
  if (!engine) throw new Error('no engine')
  const log = { debug() {}, info() {}, warn: console.error, error: console.error }
  const store = openAuditStore(engine.url, { ...engine, log })
  try {
    for (;;) {
      const [row] = await store.query<{ n: number }>(
        "SELECT count() AS n FROM commands WHERE phase = 'finished' AND started_at >= fromUnixTimestamp64Micro({fromUs:Int64}, 'UTC')",
        { fromUs },
      )
      if (Number(row?.n) === count) return
      if (Number(row?.n) > count) throw new Error(`${row?.n} commands in the trail, ${count} were sent`)
      await sleep(1000)
    }
  } finally {
    await store.close()
  }
}

async function backtest(
  fromUs: number,
  candidate: string | undefined,
): Promise<{ report: Report; sec: number; cpuSec: number }> {
  const pids = [system.value.pid('query-api'), system.value.engine?.pid ?? 0]
  const cpu = () => pids.reduce((sum, pid) => sum + cpuSec(pid), 0)
  const [startedMs, before] = [performance.now(), cpu()]
  const from = new Date(fromUs / 1000).toISOString()
  const to = new Date(Date.now() + 60_000).toISOString()
  const body = candidate === undefined ? { from, to } : { from, to, policy: candidate, as: 'bench' }
  const lines = (await ask('POST', 'backtests', body)).trim().split('\n')
  const sec = (performance.now() - startedMs) / 1000
  const { report: found, problem } = JSON.parse(lines.at(-1) ?? '{}')
  if (problem) throw new Error(JSON.stringify(problem))
  return { report: found as Report, sec, cpuSec: cpu() - before }
}

/** What the clients saw must be what the report says. @throws Error with every difference. */
function judge(sent: number, { sent: kinds, refused }: Counts, live: Report, other: Report): void {
  const differences: string[] = []
  const must = (what: string, found: number, expected: number) => {
    if (found !== expected) differences.push(`${what}: ${found}, and not ${expected}`)
  }
  must('commands', live.commands, sent)
  must('left out', Object.values(live.leftOut).length, 0)
  must('same', live.same, sent)
  const decides = (name: string) => live.rules[`bench/${name}`]?.decides ?? 0
  for (const rule of ['where-missing', 'privilege-changes', 'much', 'secrets'])
    must(rule, decides(rule), refused[`bench/${rule}`] ?? 0)
  const changes = (from: string, to: string) =>
    other.changes
      .filter((one) => one.from === from && one.to === to)
      .reduce((sum, one) => sum + one.commands, 0)
  must('observed no longer', changes('would block', 'block'), kinds.log ?? 0)
  // Of those, some are held for what their session has read already.
  const held = changes('hold', 'allow') + changes('hold', 'would hold')
  if (held === 0) differences.push('nothing is held no longer')
  must(
    'held no longer, or blocked no longer',
    other.changed - (kinds.log ?? 0),
    held + changes('block', 'allow'),
  )
  must('blocked no longer', changes('block', 'allow'), refused['bench/secrets'] ?? 0)
  if (differences.length > 0) {
    console.error(JSON.stringify({ live, other }, undefined, 1).slice(0, 6000))
    throw new Error(differences.join('\n'))
  }
}

async function ask(method: string, path: string, body: object): Promise<string> {
  const { apiUrl, apiToken } = system.value
  const answer = await fetch(`${apiUrl}/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${apiToken}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return text
}
