import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import type { Started } from '@portcullis/kernel'
import { findPsql, type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { type Bed, startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'

const run = promisify(execFile)
let postgres: Started<Postgres>
let bed: Started<Bed>

before(async () => {
  postgres = await startPostgres()
  bed = await startBed({ postgres: postgres.value })
})
after(async () => {
  await bed.stop()
  await postgres.stop()
})

test('psql works, and each statement is recorded once with what came of it', async () => {
  const psql = findPsql()
  const script = [
    'select 1 as one',
    'create table t(a int, b text)',
    "insert into t values (1,'x'),(2,'y')",
    'select * from t order by a',
    'select 1/0',
    '\\d t',
  ]
  const { stdout, stderr } = await run(psql ?? 'psql', [
    bed.value.url(),
    '-X',
    ...script.flatMap((line) => ['-c', line]),
  ]).catch((error) => error)
  const direct = await run(psql ?? 'psql', [
    postgres.value.url,
    '-X',
    ...script.filter((line) => !/^(create|insert)/.test(line)).flatMap((line) => ['-c', line]),
  ]).catch((error) => error)
  assert.match(stdout, /one/)
  assert.match(stderr, /division by zero/)
  assert.equal(stdout.replace(/CREATE TABLE\nINSERT 0 2\n/, ''), direct.stdout)
  const [insert] = bed.value.of(/^insert/)
  assert.equal(insert?.result?.outcome, 'ok')
  assert.equal(insert?.result?.rowsAffected, 2)
  const [select] = bed.value.of(/^select \* from t/)
  assert.equal(select?.result?.rowsOut, 2)
  const [failed] = bed.value.of(/1\/0/)
  assert.equal(failed?.result?.outcome, 'error')
  assert.equal(failed?.result?.errorCode, '22012')
})

test('node-postgres: parameters, named statements, errors, and a session that goes on', async () => {
  const client = await bed.value.connect()
  const { rows } = await client.query('select $1::int + 1 as n', [41])
  assert.deepEqual(rows, [{ n: 42 }])
  for (let n = 0; n < 3; n++) {
    const named = await client.query({ name: 'twice', text: 'select $1::int * 2 as n', values: [n] })
    assert.deepEqual(named.rows, [{ n: n * 2 }])
  }
  await assert.rejects(client.query('select $1::int / 0', [1]), /division by zero/)
  assert.deepEqual((await client.query('select 7 as n')).rows, [{ n: 7 }])
  await client.end()
  assert.equal(bed.value.of(/\* 2 as n/).length, 3)
  assert.deepEqual(
    bed.value.of(/\* 2 as n/).map((command) => command.result?.outcome),
    ['ok', 'ok', 'ok'],
  )
})

test("the process id that a client is given is the server's own: it finds itself by it, and knows its own NOTIFY", async () => {
  const client = await RawClient.open(bed.value.port, 'shop', 'ann', postgres.value.database)
  const key = client.take().find(({ type }) => type === 'K')
  const pid = key?.payload.readInt32BE(0)
  client.write(send.query('listen here; notify here; select pg_backend_pid()'))
  await client.ready(1)
  const replies = client.take()
  client.end()
  assert.equal(replies.find(({ type }) => type === 'D')?.payload.toString('utf8', 6), String(pid))
  assert.equal(replies.find(({ type }) => type === 'A')?.payload.readInt32BE(0), pid)
})

test('a block refuses the next command of an open session with a native error', async () => {
  const client = await bed.value.connect('bob')
  await client.query('select 1')
  bed.value.judge([{ subject: { kind: 'identity', issuer: 'https://idp.test', id: 'bob', instance: '' } }])
  await assert.rejects(
    client.query('select 2 as blocked'),
    (error: Error & { code?: string; detail?: string; hint?: string }) => {
      assert.equal(error.code, '42501')
      assert.match(error.message, /^portcullis: blocked \(test\)$/)
      assert.match(error.detail ?? '', /reason=verdict_block decision=\w+ verdict=v0/)
      return true
    },
  )
  bed.value.judge([])
  assert.deepEqual((await client.query('select 3 as n')).rows, [{ n: 3 }])
  await client.end()
  assert.equal(bed.value.of(/as blocked/)[0]?.result?.outcome, 'refused')
  assert.equal(bed.value.of(/as blocked/)[0]?.result?.errorCode, '42501')
})

test('a verdict that comes between Parse and Execute counts at Execute, and the command has one outcome', async () => {
  const client = await RawClient.open(bed.value.port, 'shop', 'eve', postgres.value.database)
  client.take()
  client.write(Buffer.concat([send.parse('', 'select 5 as between'), send.bind('', ''), send.flush()]))
  await client.until(() => client.replies.length === 2)
  bed.value.judge([{ subject: { kind: 'identity', issuer: 'https://idp.test', id: 'eve', instance: '' } }])
  client.write(Buffer.concat([send.execute(''), send.sync()]))
  await client.ready(1)
  assert.deepEqual(client.summary(client.take()), ['1', '2', 'E:42501', 'Z:I'])
  bed.value.judge([])
  client.write(Buffer.concat([send.parse('', 'select 6'), send.bind('', ''), send.execute(''), send.sync()]))
  await client.ready(1)
  assert.deepEqual(client.summary(client.take()), ['1', '2', 'D', 'C:SELECT 1', 'Z:I'])
  client.end()
  const between = bed.value.of(/as between/)
  assert.deepEqual(
    between.map(({ result, decision }) => [result?.outcome, result?.errorCode, decision.action]),
    [['refused', '42501', 'block']],
  )
})

test('the role that the gate signs in with cannot be altered through it, however it is named', async () => {
  const client = await bed.value.connect()
  const { user } = postgres.value
  for (const sql of [
    `alter role "${user}" password 'mine'`,
    "alter user current_user password 'mine'",
    `drop role ${user}`,
    `alter role ${user} rename to x`,
  ]) {
    await assert.rejects(client.query(sql), (error: Error & { code?: string; detail?: string }) => {
      assert.equal(error.code, '42501')
      assert.match(error.detail ?? '', /reason=gate_credentials/)
      return true
    })
  }
  await client.query("create role other_role password 'theirs'")
  await client.query("alter role other_role password 'new'")
  await client.query('drop role other_role')
  await client.end()
  await (await bed.value.connect()).end()
})

test('a storm of refused commands is slowed down, and keeps only the beginning of its texts', async () => {
  const client = await bed.value.connect('storm')
  bed.value.judge([{ subject: { kind: 'identity', issuer: 'https://idp.test', id: 'storm', instance: '' } }])
  const since = performance.now()
  for (let n = 0; n < 25; n++)
    await client.query(`select '${'s'.repeat(50_000)}' as storm`).catch(() => undefined)
  assert.ok(performance.now() - since > 450, 'five of them waited')
  bed.value.judge([])
  assert.deepEqual((await client.query('select 1 as n')).rows, [{ n: 1 }])
  await client.end()
  const storm = bed.value.of(/^select 'ss/)
  assert.equal(storm.length, 25)
  assert.ok(storm.every(({ text, result }) => text.length <= 4096 && result?.outcome === 'refused'))
})
