/** Describe tells what a statement returns, and makes the server plan: decided like what it describes, without a row of its own. */
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { type Bed, startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'

let postgres: Started<Postgres>
let bed: Started<Bed>
let client: RawClient

before(async () => {
  postgres = await startPostgres()
  bed = await startBed({ postgres: postgres.value })
})
after(async () => {
  await bed.stop()
  await postgres.stop()
})
afterEach(() => {
  client.end()
  bed.value.judge([])
  bed.value.commands.length = 0
})

async function open(): Promise<void> {
  client = await RawClient.open(bed.value.port, 'shop', 'ann', 'postgres')
  client.take()
}

async function play(...messages: readonly Buffer[]): Promise<string[]> {
  client.write(Buffer.concat(messages))
  await client.ready(1)
  return client.summary(client.take())
}

const outcomes = () => bed.value.commands.map(({ text, result }) => `${text}: ${result?.outcome}`)

for (const [what, describe] of [
  ['a statement', send.describe('S', 'known')],
  ['a portal', send.describe('P', 'door')],
  ['a cursor that SQL declared', send.describe('P', 'hand')],
] as const) {
  test(`the blocked are not told what ${what} returns, and stay in step`, async () => {
    await open()
    await play(send.query('begin; declare hand cursor for select 3 as secret'))
    const ready = [
      send.parse('known', 'select 1 as secret'),
      send.parse('', 'select 2 as secret'),
      send.bind('door', ''),
    ]
    assert.deepEqual(await play(...ready, send.sync()), ['1', '1', '2', 'Z:T'])
    const recorded = bed.value.commands.length
    const told = await play(describe, send.sync())
    assert.deepEqual(told.slice(-2), ['T', 'Z:T'])
    assert.equal(bed.value.commands.length, recorded, 'what is let through has its row already')

    bed.value.judge([{}])
    assert.deepEqual(await play(describe, send.sync()), ['E:42501', 'Z:E'])
    const refused = outcomes().slice(recorded)
    assert.equal(refused.length, 1)
    assert.match(refused[0] ?? '', /: refused$/)
    assert.deepEqual(await play(send.close('S', 'known'), send.flush(), send.sync()), ['3', 'Z:E'])
    assert.deepEqual(await play(send.query('rollback')), ['C:ROLLBACK', 'Z:I'])
    bed.value.judge([])
    assert.deepEqual(await play(send.query('select 4')), ['T', 'D', 'C:SELECT 1', 'Z:I'])
  })
}

test('where nothing is under way the gate answers by itself: the target hears nothing', async () => {
  await open()
  await play(send.parse('known', 'select 1'), send.sync())
  client.write(send.query('select pg_backend_pid()'))
  await client.ready(1)
  const [row] = client.take().filter(({ type }) => type === 'D')
  const pid = Number(row?.payload.subarray(6).toString())
  process.kill(pid, 'SIGSTOP')
  try {
    bed.value.judge([{}])
    // Nothing of a batch that began with it, either.
    const batch = [send.describe('S', 'known'), send.parse('', 'select 2'), send.sync()]
    assert.deepEqual(await play(...batch), ['E:42501', 'Z:I'])
    assert.deepEqual(await play(send.describe('S', 'nobody knows it'), send.sync()), ['E:42501', 'Z:I'])
    assert.match(outcomes().at(-1) ?? '', /nobody knows it.*: refused$/)
  } finally {
    process.kill(pid, 'SIGCONT')
  }
})

test('within a batch it goes on with the command that was opened: one row, refused in its place', async () => {
  await open()
  client.write(Buffer.concat([send.parse('', 'select 1 as a'), send.flush()]))
  await client.until(() => client.replies.length > 0)
  bed.value.judge([{}])
  const rest = await play(send.describe('S', ''), send.bind('', ''), send.execute(''), send.sync())
  assert.deepEqual(rest, ['1', 'E:42501', 'Z:I'])
  assert.deepEqual(outcomes(), ['select 1 as a: refused'])
})

test('as drivers send it, all in one batch: one row, and none is charged twice', async () => {
  await open()
  const batch = [
    send.parse('', 'select 1 as a'),
    send.describe('S', ''),
    send.bind('', ''),
    send.describe('P', ''),
    send.execute(''),
    send.describe('P', ''),
    send.sync(),
  ]
  assert.deepEqual(await play(...batch), ['1', 't', 'T', '2', 'T', 'D', 'C:SELECT 1', 'T', 'Z:I'])
  assert.deepEqual(outcomes(), ['select 1 as a: ok'])
})

test('the blocked may roll back by a driver that describes what it rolls back', async () => {
  await open()
  await play(send.query('begin'))
  bed.value.judge([{}])
  const batch = [
    send.parse('', 'rollback'),
    send.describe('S', ''),
    send.bind('', ''),
    send.describe('P', ''),
    send.execute(''),
    send.sync(),
  ]
  assert.deepEqual(await play(...batch), ['1', 't', 'n', '2', 'n', 'C:ROLLBACK', 'Z:I'])
})
