/** Held commands of the real system: its processes die and stop while somebody waits, and the question outlives them. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  type Approval,
  type Bus,
  type CommandEvent,
  type Started,
  standingOf,
  systemClock,
  topics,
} from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { type ControlLog, startControlLog } from '@portcullis/platform/control'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { missing } from '@portcullis/testkit/missing'
import { findPsql } from '@portcullis/testkit/postgres-binaries'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'
import { until } from './testing/until.ts'

const quiet = { info() {}, warn() {}, error() {}, debug() {} }
const codecs = createCodecs()
// The same on Kafka with PORTCULLIS_KAFKA=host:port.
const kafka = process.env.PORTCULLIS_KAFKA
let postgres: Started<Postgres>
let system: Started<System>
let bus: Started<Bus>
const logs: Started<ControlLog>[] = []

before(async () => {
  postgres = await startPostgres()
  await postgres.value.query('create table items (id int); insert into items select generate_series(1, 9)')
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    proxies: ['gate-2'],
    workers: 1,
    policy: `
rules:
  - { name: rest, action: allow }
  - { name: careful, when: 'command.verb == "DELETE"', action: hold }
`,
    extra: { approvals: "link: 'https://gate.example'" },
    ...(kafka && { kafka: `kafka://${kafka}` }),
  })
  const url = kafka ? `kafka://${kafka}` : `lmdb:${join(system.value.dir, 'bus')}`
  bus = await connectBus(url, { logger: quiet })
  for (let reader = 0; reader < 2; reader++)
    logs.push(await startControlLog({ bus: bus.value, codecs, clock: systemClock, ids: randomUUID }))
  await Promise.all(logs.map(({ value }) => value.whenCaughtUp))
})
after(async () => {
  for (const log of logs) await log.stop()
  await bus?.stop()
  await system?.stop()
  await postgres?.stop()
})

const [first, second] = [() => logs[0]?.value as ControlLog, () => logs[1]?.value as ControlLog]
const approvalsOf = (subject: string) =>
  Array.from(first().state().approvals.values()).filter(({ request }) => request.identity.subject === subject)

async function asked(subject: string): Promise<Approval> {
  const pending = () => approvalsOf(subject).find((one) => standingOf(one, systemClock.nowUs()) === 'pending')
  await until(() => pending() !== undefined)
  return pending() as Approval
}

function answer(log: ControlLog, { approvalId, request }: Approval, by: string, what: 'approve' | 'deny') {
  const given = { answer: what, reason: '', groups: ['dba'], delegation: [], via: 'api' } as const
  const actor = { issuer: 'https://idp.example', subject: by, roles: ['approver'] }
  return log.write({ type: 'approval.answered', approvalId, digest: request.digest, ...given }, actor)
}

async function connect(subject: string, gate: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: `${await system.value.url(subject, gate)}postgres` })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

const pending = (id: string) => (error: { code?: string; detail?: string }) =>
  error.code === '42501' &&
  (error.detail ?? '').includes(`reason=approval_pending`) &&
  (error.detail ?? '').includes(`approval=${id}`)

test('the proxy is killed while psql waits: once it is approved, the same passes once, through another', async (t) => {
  const program = findPsql()
  if (!program) return missing(t, 'psql')
  const sql = 'delete from items where id = 1'
  const psql = spawn(program, [`${await system.value.url('ann', 'gate-1')}postgres`, '-c', sql])
  let said = ''
  psql.stderr.on('data', (data) => {
    said += data
  })
  const gone = new Promise((resolve) => psql.once('exit', resolve))
  const approval = await asked('ann')
  await until(() => said.includes(`HINT:  https://gate.example/approvals/${approval.approvalId}`))
  assert.match(said, /NOTICE: {2}portcullis: this waits for the approval of a person, for 300 s at most/)
  await system.value.kill9('proxy:gate-1')
  assert.notEqual(await gone, 0)
  assert.equal(standingOf((await asked('ann')) as Approval, systemClock.nowUs()), 'pending')

  await answer(second(), approval, 'dana', 'approve')
  const client = await connect('ann', 'gate-2')
  assert.equal((await client.query(sql)).rowCount, 1)
  const again = client.query(sql)
  again.catch(() => undefined)
  const next = await asked('ann')
  assert.notEqual(next.approvalId, approval.approvalId)
  await client.end()
  await until(
    () => approvalsOf('ann').find((one) => one.approvalId === next.approvalId)?.state === 'withdrawn',
  )

  const events: CommandEvent[] = []
  const tail = await bus.value.tail({
    topics: [topics.commands],
    from: 'earliest',
    onBatch(records) {
      for (const { value } of records) if (value) events.push(codecs.command.decode(value))
    },
    onCaughtUp: () => undefined,
    onHealth: () => undefined,
  })
  const of = (phase: string, outcome: string | null) =>
    events.find(
      ({ decision, ...event }) =>
        decision.approvalId === approval.approvalId && event.phase === phase && event.outcome === outcome,
    )
  await until(() => of('finished', 'ok') !== undefined && of('started', null) !== undefined)
  assert.equal(of('started', null)?.decision.action, 'hold')
  assert.equal(of('finished', 'ok')?.decision.action, 'allow')
  await tail.stop()
})

test('a proxy that stops tells who waits which approval stays open; it passes at its successor', async () => {
  const sql = 'delete from items where id = 2'
  const client = await connect('bea', 'gate-2')
  const running = client.query(sql)
  const told = assert.rejects(running, () => true)
  const approval = await asked('bea')
  await system.value.stopPart('proxy:gate-2')
  await told
  await assert.rejects(running, pending(approval.approvalId))
  await system.value.startPart('proxy:gate-2')
  await answer(first(), approval, 'dana', 'approve')
  const again = await connect('bea', 'gate-2')
  assert.equal((await again.query(sql)).rowCount, 1)
  await again.end()
})

test('two answer at once: one counts, everybody holds the same, and the client gets that one', async () => {
  for (let round = 3; round < 6; round++) {
    const client = await connect('cara', 'gate-1')
    const running = client.query(`delete from items where id = ${round}`).then(
      ({ rowCount }) => (rowCount === 1 ? 'approved' : ''),
      (error: { detail?: string }) =>
        /reason=approval_denied/.test(error.detail ?? '') ? 'denied' : String(error),
    )
    const approval = await asked('cara')
    const results = await Promise.allSettled([
      answer(first(), approval, 'dana', 'approve'),
      answer(second(), approval, 'dirk', 'deny'),
    ])
    assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
    const wanted = results[0]?.status === 'fulfilled' ? 'approved' : 'denied'
    assert.equal(await running, wanted)
    const state = wanted === 'approved' ? 'used' : 'denied'
    for (const log of [first(), second()])
      await until(() => log.state().approvals.get(approval.approvalId)?.state === state)
    await client.end()
  }
  const metrics = await (await fetch(`${system.value.healthUrl('proxy:gate-1')}/metrics`)).text()
  const settled = [
    ...metrics.matchAll(/portcullis_holds_total\{[^}]*result="(passed|approval_denied)"[^}]*\} (\d+)/g),
  ]
  assert.equal(
    settled.reduce((sum, [, , count]) => sum + Number(count), 0),
    3,
    metrics.match(/.*holds_total.*/g)?.join(),
  )
})
