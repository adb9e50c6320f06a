/** Held commands at a real gate with real clients: asked, answered, spent, or refused; people answer by a real log. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import type { Approval, Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import type pg from 'pg'
import { cancelRequest } from './protocols/postgres/wire.ts'
import { refusal } from './refusals.ts'
import { type Bed, block, startBed } from './testing/bed.ts'
import { type People, startPeople } from './testing/people.ts'
import { RawClient, send } from './testing/raw-client.ts'
import { refused, type Told } from './testing/refused.ts'
import { until } from './testing/until.ts'

const rules = `
rules:
  - { name: rest, action: allow }
  - { name: careful, when: 'command.verb in ["DELETE", "UPDATE"] || "secrets" in command.tables', action: hold }
`
let postgres: Started<Postgres>
let people: Started<People>
let bed: Started<Bed>
const clients: { end(): unknown }[] = []
/** Each test has its own: what was denied to one is not asked again for a while. */
let who = ''
let tests = 0

before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  people = await startPeople()
  bed = await startBed({ postgres: postgres.value, policy: rules, holds: people.value.holds })
  await postgres.value.query(
    'create table items (id int primary key); create table secrets (v text); insert into secrets select g::text from generate_series(1, 5) g',
  )
})
beforeEach(async () => {
  who = `ann-${++tests}`
  await postgres.value.query('insert into items select g from generate_series(1, 9) g on conflict do nothing')
})
after(async () => {
  await bed?.stop()
  await people?.stop()
  await postgres?.stop()
})
afterEach(async () => {
  for (const client of clients.splice(0)) await client.end()
  for (const { approvalId } of people.value.pending())
    await people.value.log
      .write(
        { type: 'approval.withdrawn', approvalId, reason: 'end of a test' },
        { issuer: 'test', subject: 'test', roles: [] },
      )
      // Its session may have been faster.
      .catch(() => undefined)
  Object.assign(people.value.settings, { waitSec: 30, waitInTransactionSec: 1, answerSec: 60, usableSec: 60 })
  bed.value.judge([])
  bed.value.rule(rules)
  bed.value.commands.length = 0
})

async function open(subject = who): Promise<pg.Client & { notices: Told[] }> {
  const client = await bed.value.connect(subject)
  const notices: Told[] = []
  client.on('notice', (notice) => notices.push(notice))
  clients.push(client)
  return Object.assign(client, { notices })
}

const stateOf = ({ approvalId }: Approval) =>
  people.value.all().find((one) => one.approvalId === approvalId)?.state
const rowsLeft = async () =>
  Number((await postgres.value.query('select count(*) as n from items')).rows[0]?.n)

for (const [how, query] of [
  ['a simple query', 'delete from items where id = 1'],
  ['bound values', { text: 'delete from items where id = $1', values: [1] }],
  ['a named statement', { name: 'gone', text: 'delete from items where id = $1', values: [1] }],
] as const)
  test(`waits in its connection, is told so, and runs once it is approved: ${how}`, async () => {
    const client = await open()
    const running = client.query(query as string)
    const approval = await people.value.asked(who)
    assert.equal(approval.request.kind, 'command')
    assert.ok(approval.request.kind === 'command')
    const { identity, statement, values, rule, waiting } = approval.request
    assert.deepEqual([identity.subject, rule, waiting], [who, 'careful', true])
    assert.match(statement, /^delete from items/)
    assert.deepEqual(values, how === 'a simple query' ? [] : ["'1'"])
    await until(() => client.notices.length > 0)
    assert.match(client.notices[0]?.detail ?? '', new RegExp(`approval=${approval.approvalId} by=careful`))
    assert.equal(client.notices[0]?.hint, `https://gate.example/approvals/${approval.approvalId}`)
    const [waits] = bed.value.of(/^delete/)
    assert.deepEqual([waits?.decision.action, waits?.decision.approvalId], ['hold', approval.approvalId])
    assert.equal(await rowsLeft(), 9)

    await people.value.answer(approval)
    assert.equal((await running).rowCount, 1)
    assert.equal(stateOf(approval), 'used')
    const commands = bed.value.of(/^delete/)
    assert.equal(commands.length, 1)
    const { decision, result } = commands[0] ?? {}
    assert.deepEqual(
      [decision?.action, decision?.rule, decision?.approvalId, result?.outcome],
      ['allow', 'careful', approval.approvalId, 'ok'],
    )
    assert.ok((decision?.delayUs ?? 0) > 0)
    assert.equal(
      people.value.all().at(-1)?.commandId,
      `${commands[0]?.sessionId}.${commands[0]?.intent.number}`,
    )
  })

test('refused at once where nobody is to wait; the same passes once when approved, and only the same', async () => {
  people.value.settings.waitSec = 0
  const client = await open()
  const one = { text: 'delete from items where id = $1', values: [1] }
  await assert.rejects(client.query(one), refused('42501', 'approval_pending'))
  const approval = await people.value.asked(who)
  await assert.rejects(client.query(one), refused('42501', 'approval_pending', approval))
  assert.equal(people.value.pending().length, 1, 'a retry asks nothing new')
  await people.value.answer(approval)

  const others = [
    { text: 'delete from items where id = $1', values: [2] },
    { text: 'delete from items where id= $1', values: [1] },
    { text: 'delete from items where id = 1' },
  ]
  for (const other of others) await assert.rejects(client.query(other), refused('42501', 'approval_pending'))
  const bob = await open('bob')
  await assert.rejects(bob.query(one), refused('42501', 'approval_pending'))
  assert.equal(await rowsLeft(), 9)

  const again = await open()
  assert.equal((await again.query(one)).rowCount, 1)
  await assert.rejects(again.query(one), refused('42501', 'approval_pending'))
  assert.equal(stateOf(approval), 'used')
})

test('the same bytes that a setting makes another statement are another', async () => {
  people.value.settings.waitSec = 0
  // All rows, or where a backslash escapes: none.
  const sql = String.raw`delete from items where id::text = 'x\' or true --'`
  const on = await open()
  await assert.rejects(on.query(sql), refused('42501', 'approval_pending'))
  await people.value.answer(await people.value.asked(who))
  const off = await open()
  await off.query('set standard_conforming_strings to off')
  // It cannot be read, and so without its literals nobody could judge it.
  await assert.rejects(off.query(sql), refused('42501', 'policy_hold'))
  assert.equal(await rowsLeft(), 9)
  assert.equal((await on.query(sql)).rowCount, 9)
})

test('the same text with names that stand for something else is another', async () => {
  people.value.settings.waitSec = 0
  const sql = 'delete from items where id = 4'
  for (const before of ['set search_path to other, public', 'create temp table items (id int)']) {
    const plain = await open()
    await assert.rejects(plain.query(sql), refused('42501', 'approval_pending'))
    const approval = await people.value.asked(who)
    await people.value.answer(approval)
    const moved = await open()
    await moved.query(before)
    await assert.rejects(moved.query(sql), refused('42501', 'approval_pending'))
    const own = await people.value.asked(who)
    assert.notEqual(own.approvalId, approval.approvalId)
    await people.value.answer(own)
    await moved.query(sql)
    assert.equal(stateOf(own), 'used')
    assert.equal(stateOf(approval), 'approved')
    await plain.query(sql)
    assert.equal(stateOf(approval), 'used')
  }
})

test('of two who come with one approval at once, one passes', async () => {
  people.value.settings.waitSec = 0
  const [a, b] = [await open(), await open()]
  const sql = 'delete from items where id = 3'
  await assert.rejects(a.query(sql), refused('42501', 'approval_pending'))
  await people.value.answer(await people.value.asked(who))
  const results = await Promise.allSettled([a.query(sql), b.query(sql)])
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
})

test('denied: refused, and refused again at once', async () => {
  const client = await open()
  const running = assert.rejects(client.query('delete from items'), refused('42501', 'approval_denied'))
  const approval = await people.value.asked(who)
  await people.value.answer(approval, 'deny')
  await running
  await assert.rejects(client.query('delete from items'), (error: Error) => {
    assert.match(error.message, /as agreed/)
    return refused('42501', 'approval_denied', approval)(error)
  })
  assert.equal(people.value.pending().length, 0)
  const held = bed.value.of(/^delete from items$/)
  assert.deepEqual(
    held.map(({ decision, result }) => [decision.reason, decision.approvalId, result?.outcome]),
    Array(2).fill(['approval_denied', approval.approvalId, 'refused']),
  )
})

test('nobody answers in time: refused, and a late answer counts for nothing', async () => {
  people.value.settings.answerSec = 1
  const client = await open()
  const running = client.query('delete from items')
  const approval = await people.value.asked(who)
  await assert.rejects(running, refused('42501', 'approval_expired', approval))
  await assert.rejects(people.value.answer(approval), /the time to answer is over/)
})

test('the client gives up: by a cancel, or by leaving; the question is taken back', async () => {
  const client = await open()
  assert.ok('processID' in client && typeof client.processID === 'number')
  assert.ok('secretKey' in client && typeof client.secretKey === 'number')
  const secret = Buffer.alloc(4)
  secret.writeInt32BE(client.secretKey)
  const running = assert.rejects(client.query('delete from items'), refused('57014', 'approval_cancelled'))
  const first = await people.value.asked(who)
  await until(() => client.notices.length > 0)
  connect(bed.value.port, '127.0.0.1').end(cancelRequest(client.processID, secret))
  await running
  await until(() => stateOf(first) === 'withdrawn')
  assert.equal((await client.query('select 1 as still')).rows[0]?.still, 1)

  const leaver = await open()
  leaver.query('delete from items where id = 2').catch(() => undefined)
  const second = await people.value.asked(who)
  await until(() => leaver.notices.length > 0)
  leaver.connection.stream.destroy()
  await until(() => stateOf(second) === 'withdrawn')
  await until(() => bed.value.of(/id = 2/)[0]?.result !== undefined)
  assert.equal(bed.value.of(/id = 2/)[0]?.result?.outcome, 'cancelled')
})

test('what is decided after the answer counts: a block, a kill, another policy', async () => {
  const client = await open()
  const blocked = assert.rejects(client.query('delete from items'), refused('42501', 'verdict_block'))
  const first = await people.value.asked(who)
  bed.value.judge([block(who)])
  await people.value.answer(first)
  await blocked
  bed.value.judge([])

  const changed = assert.rejects(client.query('delete from items'), refused('42501', 'approval_denied'))
  const second = await people.value.asked(who)
  bed.value.rule(rules.replace('careful', 'careful-2'))
  await people.value.answer(second)
  const third = await people.value.asked(who)
  assert.equal(third.request.kind === 'command' && third.request.rule, 'careful-2')
  await people.value.answer(third, 'deny')
  await changed

  const killed = assert.rejects(client.query('delete from items where id = 1'), { code: '57P01' })
  const fourth = await people.value.asked(who)
  bed.value.judge([{ ...block(who), action: 'kill' }])
  await killed
  await until(() => stateOf(fourth) === 'withdrawn')
  assert.equal(await rowsLeft(), 9)
})

test('a policy that changed since the answer does not use it', async () => {
  people.value.settings.waitSec = 0
  const client = await open()
  await assert.rejects(client.query('delete from items'), refused('42501', 'approval_pending'))
  const approval = await people.value.asked(who)
  await people.value.answer(approval)
  bed.value.rule(`${rules}  - { name: other, match: { countries: [DE] }, action: allow }\n`)
  await assert.rejects(client.query('delete from items'), refused('42501', 'approval_pending'))
  assert.equal(stateOf(approval), 'approved')
  bed.value.rule(rules)
  assert.equal((await client.query('delete from items')).rowCount, 9)
})

test('inside a transaction it waits shortly, then the transaction has failed and the question stands', async () => {
  const client = await open()
  await client.query('begin')
  await client.query('insert into items values (100)')
  await assert.rejects(client.query('delete from items'), refused('42501', 'approval_pending'))
  assert.equal(people.value.pending().length, 1)
  await assert.rejects(client.query('select 1'), { code: '25P02' })
  await client.query('rollback')
})

test('nobody can be asked: too many wait, or the log is away', async () => {
  people.value.settings.waitSec = 0
  const client = await open()
  for (let id = 1; id <= 5; id++)
    await assert.rejects(
      client.query(`delete from items where id = ${id}`),
      refused('42501', 'approval_pending'),
    )
  await assert.rejects(client.query('delete from items'), refused('53400', 'approval_limit'))
  const approval = people.value.pending()[0] as Approval
  await people.value.answer(approval)
  people.value.cutBus(true)
  try {
    await assert.rejects(
      client.query('delete from items where id = 1'),
      refused('57P03', 'approval_unavailable', approval),
    )
    const bob = await open('bob')
    await assert.rejects(bob.query('delete from items'), refused('57P03', 'approval_unavailable'))
  } finally {
    people.value.cutBus(false)
  }
  assert.equal(await rowsLeft(), 9)
})

test('for a window it passes as often as wanted, and no longer', async () => {
  Object.assign(people.value.settings, { waitSec: 0, usableSec: 2 })
  bed.value.rule(rules.replace('action: hold', 'action: hold, approval: { use: window }'))
  const client = await open()
  const sql = 'update items set id = id where id < 4'
  await assert.rejects(client.query(sql), refused('42501', 'approval_pending'))
  await people.value.answer(await people.value.asked(who))
  for (let times = 0; times < 3; times++) assert.equal((await client.query(sql)).rowCount, 3)
  await new Promise((resolve) => setTimeout(resolve, 2000))
  await assert.rejects(client.query(sql), refused('42501', 'approval_pending'))
})

test('a verdict that holds asks people, too; with a rule beside it one answer is for both', async () => {
  const client = await open()
  bed.value.judge([{ ...block(who), action: 'hold' }])
  const running = client.query('select 1 as watched')
  const approval = await people.value.asked(who)
  assert.ok(approval.request.kind === 'command')
  assert.deepEqual([approval.request.verdictId, approval.request.rule], ['v', ''])
  await people.value.answer(approval)
  assert.equal((await running).rows[0]?.watched, 1)
  const both = client.query('delete from items where id = 1')
  const second = await people.value.asked(who)
  assert.ok(second.request.kind === 'command')
  assert.deepEqual([second.request.verdictId, second.request.rule], ['v', 'careful'])
  await people.value.answer(second)
  assert.equal((await both).rowCount, 1)
})

test('two of a group, and one of another, as the rule says', async () => {
  const dba = '{ issuer: https://idp.test, group: dba }'
  bed.value.rule(
    rules.replace('action: hold', `action: hold, approval: { by: [{ groups: [${dba}], count: 2 }] }`),
  )
  const client = await open()
  const running = client.query('delete from items where id = 1')
  const approval = await people.value.asked(who)
  await assert.rejects(people.value.answer(approval, 'approve', who), /whoever asks/)
  await people.value.answer(approval)
  await assert.rejects(people.value.answer(approval), /has answered before/)
  assert.equal(stateOf(approval), 'pending')
  await people.value.answer(approval, 'approve', 'dirk')
  assert.equal((await running).rowCount, 1)
})

test('prepared and described before it is asked, and no lock is held while it waits', async () => {
  const client = await RawClient.open(bed.value.port, 'shop', who, 'postgres')
  clients.push(client)
  client.take()
  client.write(Buffer.concat([send.parse('p', 'delete from items'), send.describe('S', 'p'), send.sync()]))
  await client.ready(1)
  assert.deepEqual(client.summary(client.take()), ['1', 't', 'n', 'Z:I'])
  assert.equal(people.value.pending().length, 0)
  client.write(Buffer.concat([send.bind('', 'p'), send.execute(''), send.sync()]))
  const first = await people.value.asked(who)
  await people.value.answer(first)
  await client.ready(1)
  assert.deepEqual(
    client.summary(client.take()).filter((one) => !one.startsWith('N')),
    ['2', 'C:DELETE 9', 'Z:I'],
  )

  const batch = [send.parse('', 'delete from items'), send.bind('', ''), send.execute(''), send.sync()]
  client.write(Buffer.concat(batch))
  const second = await people.value.asked(who)
  const locks = "select count(*)::int as n from pg_locks where relation = 'items'::regclass"
  assert.equal((await postgres.value.query(locks)).rows[0]?.n, 0)
  await people.value.answer(second)
  await client.ready(1)
  assert.deepEqual(
    client.summary(client.take()).filter((one) => !one.startsWith('N')),
    ['1', '2', 'C:DELETE 0', 'Z:I'],
  )
})

test('held for what is bound alone: it waits as long as any, and no lock with it', async () => {
  people.value.settings.waitInTransactionSec = 0
  bed.value.rule('rules: [{ name: rest, action: allow }, { use: where-missing }]')
  const client = await open()
  const text = 'delete from items where id::text like $1'
  assert.equal((await client.query({ text, values: ['7'] })).rowCount, 1)
  const running = client.query({ text, values: ['%'] })
  const approval = await people.value.asked(who)
  assert.deepEqual(approval.request.kind === 'command' && approval.request.values, ["'%'"])
  await people.value.answer(approval)
  assert.equal((await running).rowCount, 8)
})

test('what was approved is read to its end in pieces; a name that stands for it elsewhere is no way to ask', async () => {
  const client = await open()
  const first = client.query('begin; declare c cursor for select v from secrets')
  await people.value.answer(await people.value.asked(who))
  await first
  assert.equal(((await client.query('fetch 2 from c')) as pg.QueryResult).rowCount, 2)
  assert.equal(((await client.query('fetch 9 from c')) as pg.QueryResult).rowCount, 3)
  await client.query('commit')
  assert.equal(people.value.pending().length, 0)

  const prepare = client.query('prepare leak as select v from secrets')
  await people.value.answer(await people.value.asked(who))
  await prepare
  await assert.rejects(client.query('execute leak'), refused('42501', 'policy_hold'))
})

test('what people would not see nobody is asked about', async () => {
  people.value.settings.waitSec = 0
  const client = await open()
  bed.value.rule(`
rules:
  - { name: rest, action: allow }
  - name: careful
    when: command.verb in ["DELETE", "UPDATE", "CREATE FUNCTION"] || command.effects.exists(e, e in ["unknown", "execute"])
    action: hold
`)
  await postgres.value.query("create function runs(text) returns text language sql as 'select $1'")
  const long = `perform 1; ${' '.repeat(300)} delete from items`
  for (const hidden of [
    "do E'begin delete from items; -- password=\\'x\\' \\n end'",
    "do 'begin delete from items; perform ''***'', ''password=''''x''''''; end'",
    "create function f() returns void language plpgsql as 'begin delete from items; /* password=''x'' */ end'",
    "select dblink_exec('dbname=x', 'delete from items')",
    { text: 'select runs($1)', values: [long] },
    `delete from "password='x'"`,
  ])
    await assert.rejects(client.query(hidden as string), refused('42501', 'policy_hold'))
  assert.equal(people.value.pending().length, 0)
  // A value that is a secret is none that runs.
  for (const shown of [
    "do 'begin delete from items; end'",
    "update secrets set v = 'x' where password = 'y'",
  ])
    await assert.rejects(client.query(shown), refused('42501', 'approval_pending'))
})

test('observed, nothing waits and the event says so', async () => {
  const observing = await startBed({
    ...{ postgres: postgres.value, policy: rules, mode: 'observe', holds: people.value.holds },
  })
  try {
    const client = await observing.value.connect()
    await client.query('delete from items where id = 9')
    await client.end()
    const { action, rule, enforced } = observing.value.of(/^delete/)[0]?.decision ?? {}
    assert.deepEqual([action, rule, enforced], ['hold', 'careful', false])
    assert.equal(people.value.pending().length, 0)
  } finally {
    await observing.stop()
  }
})

test('a gate that stops leaves the question open and says which', async () => {
  const other = await startBed({ postgres: postgres.value, policy: rules, holds: people.value.holds })
  const client = await other.value.connect(who)
  const running = assert.rejects(client.query('delete from items'), refused('42501', 'approval_pending'))
  const approval = await people.value.asked(who)
  await until(() => other.value.of(/^delete/).length > 0)
  other.value.sessions.drain()
  await running
  await until(() => other.value.sessions.live.size === 0)
  assert.equal(stateOf(approval), 'pending')
  await other.stop()
  await people.value.answer(approval)
  const again = await open()
  assert.equal((await again.query('delete from items')).rowCount, 9)
})

test('a gate that ends before the answer says which question stays open, too', async () => {
  const other = await startBed({ postgres: postgres.value, policy: rules, holds: people.value.holds })
  const client = await other.value.connect(who)
  const running = client.query('delete from items')
  running.catch(() => undefined)
  const approval = await people.value.asked(who)
  await until(() => other.value.of(/^delete/).length > 0)
  const [session] = other.value.sessions.live
  session?.kill(refusal('draining', { id: 'd', policyVersion: 'test' }))
  await assert.rejects(running, refused('57P01', 'draining', approval))
  await other.stop()
  assert.equal(stateOf(approval), 'pending')
})
