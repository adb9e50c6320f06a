/** Rules at a real gate with real clients: what each action does, through every way to send a statement. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import type pg from 'pg'
import { type Bed, startBed } from './testing/bed.ts'

const rules = `
rules:
  - { name: reads, when: 'command.effects.all(e, e == "read")', action: allow }
  - { name: changes, when: 'command.effects.all(e, e in ["read", "write", "delete"])', action: allow }
  - { use: where-missing }
  - { use: privilege-changes }
  - { name: wide, when: '"items" in command.tables', action: cap, cap: { rowsPerStatement: 3 } }
  - { name: watched, when: '"items" in command.tables && command.verb == "INSERT"', action: block, observe: true }
`
let postgres: Started<Postgres>
let bed: Started<Bed>
before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  bed = await startBed({ postgres: postgres.value, policy: rules, labels: { env: 'prod' } })
  await postgres.value.query(
    'create table items (id int primary key, n int); insert into items select g, g from generate_series(1, 9) g',
  )
})
after(async () => {
  await bed?.stop()
  await postgres?.stop()
})

async function withClient<T>(body: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await bed.value.connect()
  try {
    return await body(client)
  } finally {
    await client.end()
  }
}

const refusedBy = (reason: string, rule: string) => (error: unknown) => {
  const { code, detail = '' } = error as { code?: string; detail?: string }
  assert.equal(code, '42501')
  assert.match(detail, new RegExp(`reason=${reason} `))
  if (rule !== '') assert.match(detail, new RegExp(`rule=${rule}( |$)`))
  return true
}

test('an allowed statement names its rule and the version of the rules', () =>
  withClient(async (client) => {
    await client.query('select 1 as named')
    const [command] = bed.value.of(/as named/)
    assert.equal(command?.decision.rule, 'reads')
    assert.match(command?.decision.policyVersion ?? '', /^test\.[0-9a-f]{12}$/)
  }))

test('hold, block and what no rule allows, by the simple protocol, a prepared statement and a batch', () =>
  withClient(async (client) => {
    for (const [sql, reason, rule] of [
      ['delete from items', 'policy_hold', 'where-missing'],
      ['update items set n = 0 where 1 = 1', 'policy_hold', 'where-missing'],
      ['grant all on items to public', 'policy_block', 'privilege-changes'],
      ['create table other (a int)', 'policy_default', ''],
    ] as const) {
      await assert.rejects(client.query(sql), refusedBy(reason, rule), sql)
      await assert.rejects(client.query({ text: sql, values: [] }), refusedBy(reason, rule), sql)
      await assert.rejects(client.query({ name: `p ${sql}`, text: sql }), refusedBy(reason, rule), sql)
      await assert.rejects(client.query(`select 1; ${sql}`), refusedBy(reason, rule), sql)
    }
    const { rows } = await client.query('select count(*)::int as n, sum(n)::int as sum from items')
    assert.deepEqual(rows, [{ n: 9, sum: 45 }])
    const [held] = bed.value.of(/^delete from items$/)
    assert.deepEqual([held?.decision.action, held?.result?.outcome], ['hold', 'refused'])
    assert.deepEqual(held?.intent.attributes, { 'command.where': '"none"' })
  }))

test('literals that decide are told apart, whichever came first', () =>
  withClient(async (client) => {
    await client.query('update items set n = n where 1 = 2')
    await assert.rejects(
      client.query('update items set n = n where 1 = 1'),
      refusedBy('policy_hold', 'where-missing'),
    )
    await client.query('update items set n = n where id = 1')
    await client.query('update items set n = n where id = 2')
  }))

test('a cap of a rule cuts the result, and its name is told', () =>
  withClient(async (client) => {
    await assert.rejects(
      client.query('select id from items'),
      (error: { code?: string; detail?: string }) => {
        assert.equal(error.code, '54000')
        assert.match(error.detail ?? '', /reason=cap_rows_statement .*rule=wide/)
        return true
      },
    )
    assert.equal((await client.query('select id from items limit 3')).rowCount, 3)
  }))

test('a rule that only observes is recorded, and not enforced', () =>
  withClient(async (client) => {
    await client.query('insert into items values (100, 0)')
    const [command] = bed.value.of(/values \(100/)
    const { action, rule, reason, enforced } = command?.decision ?? {}
    assert.deepEqual([action, rule, reason, enforced], ['block', 'watched', 'policy_block', false])
    assert.equal(command?.result?.outcome, 'ok')
  }))

test('other rules hold from the next command of a session that is open, also for what was prepared before', () =>
  withClient(async (client) => {
    const before = { name: 'kept', text: 'select 2 as two' }
    await client.query(before)
    bed.value.rule('rules: [{ name: nothing, action: block }]')
    try {
      await assert.rejects(client.query('select 3'), refusedBy('policy_block', 'nothing'))
      await assert.rejects(client.query(before), refusedBy('policy_block', 'nothing'))
      bed.value.rule(undefined)
      await client.query('create table made (a int)')
      const [command] = bed.value.of(/create table made/)
      assert.deepEqual([command?.decision.policyVersion, command?.decision.rule], ['test', ''])
    } finally {
      bed.value.rule(rules)
    }
    await client.query(before)
  }))

test('a transaction that was begun can be rolled back, whatever the rules', () =>
  withClient(async (client) => {
    await client.query('begin')
    bed.value.rule('rules: [{ name: nothing, action: block }]')
    try {
      await client.query('rollback')
    } finally {
      bed.value.rule(rules)
    }
  }))

test('what a rule masks is not let through in clear', () =>
  withClient(async (client) => {
    bed.value.rule(`
rules:
  - { name: all, action: allow }
  - { name: hidden, when: '"items" in command.tables', action: mask, mask: { columns: [n] } }
`)
    try {
      await client.query('select 1')
      // Without the target's catalogue nobody can tell what is in it.
      for (const query of [
        'select n, id::text from items where id = 3',
        { text: 'select n, id::text from items where id = $1', values: [3] },
      ])
        assert.deepEqual((await client.query(query as string)).rows, [{ n: 0, id: '***' }])
      await client.query('prepare p as select n from items; ')
      const [command] = bed.value.of(/id = 3/)
      assert.deepEqual(command?.result?.masked, [
        { column: '?.n', values: 1 },
        { column: '?.id', values: 1 },
      ])
    } finally {
      bed.value.rule(rules)
    }
  }))

test('a session total that a rule reads stands on the event', () =>
  withClient(async (client) => {
    bed.value.rule(`
rules:
  - { name: enough, when: 'session.rows_out >= 2', action: block }
  - { name: all, action: allow }
`)
    try {
      await client.query('select generate_series(1, 2) as counted')
      await assert.rejects(client.query('select 1 as after_counted'), refusedBy('policy_block', 'enough'))
      const [command] = bed.value.of(/after_counted/)
      assert.deepEqual(command?.intent.attributes, { 'session.rows_out': '2' })
    } finally {
      bed.value.rule(rules)
    }
  }))

test('observed as a whole, all of it passes and says so', async () => {
  const observing = await startBed({ postgres: postgres.value, policy: rules, mode: 'observe' })
  try {
    const client = await observing.value.connect()
    await client.query('update items set n = n')
    await client.end()
    const [command] = observing.value.of(/^update items/)
    const { action, rule, enforced } = command?.decision ?? {}
    assert.deepEqual([action, rule, enforced], ['hold', 'where-missing', false])
  } finally {
    await observing.stop()
  }
})

test('what a rule to come may ask stands on events: rows left to be changed, what came in one message', () =>
  withClient(async (client) => {
    await client.query('select 2 as apart; insert into items values (50, 1); delete from items where id = 50')
    const attributes = bed.value.of(/apart|50/).map(({ intent }) => intent.attributes)
    const message = attributes[0]?.['message.commands']
    assert.match(message ?? '', /^"\d+-\d+"$/)
    assert.deepEqual(
      attributes.map((one) => [one['command.where'], one['message.commands']]),
      [
        ['""', message],
        ['""', message],
        ['"some"', message],
      ],
    )
  }))

test('the risk of an identity is asked anew for each command, and recorded', () =>
  withClient(async (client) => {
    bed.value.rule(`
rules:
  - { name: risky, when: 'identity.risk >= 50 && command.verb != "SELECT"', action: hold }
  - { name: rest, action: allow }
`)
    try {
      await client.query('update items set n = 1 where id = 1')
      bed.value.judge([{ action: 'throttle', ratePerMinute: 600 }])
      await assert.rejects(
        client.query('update items set n = 2 where id = 1'),
        refusedBy('policy_hold', 'risky'),
      )
      assert.equal((await client.query('select n from items where id = 1')).rows[0].n, 1)
      bed.value.judge([])
      await client.query('update items set n = 3 where id = 1')
      const risks = bed.value
        .of(/^update items set n = [123] where id = 1$/)
        .map(({ intent }) => intent.attributes['identity.risk'])
      assert.deepEqual(risks, ['0', '50', '0'])
    } finally {
      bed.value.rule(rules)
    }
  }))
