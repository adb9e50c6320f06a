/**
 * Rules tried on what was recorded, through real processes: the policy that was in force comes out as it was enforced, command
 * by command, whatever it asks; a changed one differs in what it changes, and says what it cannot know.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { until } from '@portcullis/testkit/chaos/settle'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'

const rules = `
rules:
  - { name: reads, when: 'command.effects.all(e, e == "read")', action: allow }
  - { name: changes, when: 'command.effects.all(e, e in ["read", "write", "delete"])', action: allow }
  - { use: where-missing }
  - { use: privilege-changes }
  - { name: watched, when: '"items" in command.tables && command.verb == "INSERT"', action: block, observe: true }
  - { name: much, when: 'session.rows_out > 20 && command.verb == "UPDATE"', action: hold }
  - { name: never, match: { time: { days: [mon], from: '00:00', to: '00:01' } }, when: command.privileged, action: hold }
  - { name: prod, match: { labels: { env: prod } }, when: command.verb == "SELECT INTO", action: block }
  - { name: wide, when: '"items" in command.tables', action: cap, cap: { rowsPerStatement: 5 } }
`
let postgres: Started<Postgres>
let system: Started<System>
before(async () => {
  postgres = await startPostgres()
  await postgres.value.query(
    'create table items (id int primary key, n int); insert into items select g, g from generate_series(1, 9) g',
  )
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy', 'projector', 'query-api'],
    workers: 1,
    // What is held is asked for, and not waited for.
    extra: { approvals: 'waitSec: 0\nwaitInTransactionSec: 0' },
  })
  await ask('PUT', 'config/policies/shop', { text: rules })
  await until('the rules to be in force', 10_000, async () => {
    const client = await connected('first')
    const refused = await client.query('create table if not exists not_allowed (a int)').then(
      () => false,
      () => true,
    )
    await client.end()
    return refused
  })
  for (const subject of ['ann', 'bob']) await traffic(subject)
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
})

async function ask(method: string, path: string, body?: object): Promise<string> {
  const answer = await fetch(`${system.value.apiUrl}/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${system.value.apiToken}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
  return text
}

async function connected(subject: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: await system.value.url(subject) })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function traffic(subject: string): Promise<void> {
  const client = await connected(subject)
  for (const sql of [
    'select 1',
    'select n from items where id = 3',
    'select * from items',
    'begin',
    'insert into items values (100, 1)',
    'update items set n = 5 where id = 5',
    'rollback',
    'delete from items',
    'update items set n = 1 where 1 = 1',
    'grant all on items to public',
    'set role nobody',
    'create table other (a int)',
    'select 1; select 2; delete from items where id = 77',
    'select 1; drop table items; select 2',
    'do $$ begin perform 1; end $$',
    'selct',
  ]) {
    await client.query(sql).catch(() => undefined)
    await client.query({ text: sql, values: [] }).catch(() => undefined)
  }
  await client.query({ name: 'p', text: 'select n from items where id = $1', values: [1] })
  for (let at = 0; at < 6; at += 1)
    await client.query({ name: 'p', text: 'select n from items where id = $1', values: [at] })
  await client.query('select generate_series(1, 30)')
  await client.query('update items set n = n where id = 4').catch(() => undefined)
  await client.end()
}

interface Report {
  commands: number
  same: number
  otherRule: number
  changed: number
  leftOut: Record<string, number>
  doubtful: { commands: number; byAttribute: Record<string, number> }
  changes: {
    from: string
    to: string
    rule: string
    identity: string
    commands: number
    examples: string[]
  }[]
  rules: Record<string, { decides: number; caps: number }>
}

async function backtest(body: object): Promise<Report> {
  // From when the rules were in force.
  const from = JSON.parse(await ask('GET', 'policy')).documents[0].changedAt
  const lines = (await ask('POST', 'backtests', { from, ...body })).trim().split('\n')
  const last = JSON.parse(lines.at(-1) ?? '')
  assert.ok(last.report, lines.at(-1))
  return last.report
}

const byAnn = async () => ({ identity: `${system.value.issuer.issuer}|ann` })

test('what was in force comes out as it was enforced, of every command', async (t) => {
  let report = await backtest({})
  await until('all to be in the trail', 20_000, async () => {
    const before = report.commands
    await new Promise((resolve) => setTimeout(resolve, 1500))
    report = await backtest({})
    return report.commands === before && before > 80
  })
  t.diagnostic(JSON.stringify({ ...report, changes: report.changes.length }))
  const ann = await backtest(await byAnn())
  assert.deepEqual([ann.changed, ann.otherRule, ann.doubtful.commands], [0, 0, 0], JSON.stringify(ann))
  assert.equal(ann.same + Object.values(ann.leftOut).reduce((sum, n) => sum + n, 0), ann.commands)
  const decides = (rule: string) => ann.rules[`shop/${rule}`]?.decides ?? 0
  for (const rule of ['reads', 'changes', 'where-missing', 'privilege-changes', 'watched', 'much'])
    assert.ok(decides(rule) > 0, rule)
  assert.ok((ann.rules['shop/wide']?.caps ?? 0) > 2)
})

test('a changed policy: what changes, by which rule, with examples that exist', async () => {
  const changed = rules.replace(', observe: true', '').replace('use: where-missing', 'name: x, alert: info')
  const { changes } = await backtest({ ...(await byAnn()), policy: changed, as: 'shop' })
  const found = changes.map(({ from, to, rule, commands }) => `${from} -> ${to} ${rule} ${commands}`).sort()
  assert.deepEqual(found, ['hold -> allow shop/where-missing 4', 'would block -> block shop/watched 2'])
  for (const { examples } of changes) {
    const { text } = JSON.parse(await ask('GET', `commands/${examples[0]}`))
    assert.match(text, /^(delete from items|update items set n = 1 where 1 = 1|insert into items)/)
  }
})

test('several commands of one message are refused together, by a rule about one of them', async () => {
  const policy = `rules:
  - { name: apart, when: 'command.verb == "DELETE" && command.where == "some"', action: block }
  - { name: rest, action: allow }
`
  const { changes } = await backtest({ ...(await byAnn()), policy })
  const blocked = changes.filter(({ rule }) => rule === 'apart')
  assert.deepEqual(
    blocked.map(({ from, to, commands }) => [from, to, commands]),
    // By either protocol: that the server takes one statement in a Parse is for the server to say.
    [['allow', 'block', 6]],
  )
})

test('what was not recorded is told, and taken to the safe side', async () => {
  const policy = `rules:
  - { name: rows, when: 'command.returns_rows && command.verb == "SELECT"', action: block }
  - { name: rest, action: allow }
`
  const report = await backtest({ ...(await byAnn()), policy })
  const selects = report.changes.filter(({ to, rule }) => to === 'block' && rule === 'rows')
  assert.ok(selects.length > 0)
  assert.ok((report.doubtful.byAttribute['command.returns_rows'] ?? 0) > 10)
  const wrong = await fetch(`${system.value.apiUrl}/v1/backtests`, {
    method: 'POST',
    headers: { authorization: `Bearer ${system.value.apiToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ policy: 'rules:\n  - { name: a, actoin: allow }\n' }),
  })
  assert.equal(wrong.status, 400)
  assert.match(await wrong.text(), /policy:2:16: rules\.0\.actoin: unknown key/)
})

test('one at a time: others are told so, and one that is given up makes room', async () => {
  const begin = (signal?: AbortSignal) =>
    fetch(`${system.value.apiUrl}/v1/backtests`, {
      method: 'POST',
      headers: { authorization: `Bearer ${system.value.apiToken}`, 'content-type': 'application/json' },
      body: '{}',
      ...(signal && { signal }),
    })
  const answers = await Promise.all(Array.from({ length: 8 }, () => begin()))
  const statuses = answers.map(({ status }) => status)
  assert.ok(statuses.includes(200) && statuses.includes(503), statuses.join())
  assert.ok(statuses.every((status) => status === 200 || status === 503))
  await Promise.all(answers.map((answer) => answer.text()))
  const givingUp = new AbortController()
  const givenUp = begin(givingUp.signal).then((answer) => answer.text())
  setTimeout(() => givingUp.abort(), 3)
  await givenUp.catch(() => undefined)
  await until('room for the next', 5000, async () => {
    const { status } = await begin()
    return status === 200
  })
})
