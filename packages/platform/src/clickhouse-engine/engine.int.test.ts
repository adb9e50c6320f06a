/** The engine behind its HTTP face, through the client that everything else uses, and through bare requests. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { createClient, type ClickHouseClient } from '@clickhouse/client'
import type { Started } from '@portcullis/kernel'
import { AuditError } from '../audit/errors.ts'
import { type Engine, startEngine } from './start.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-engine-'))
const log = { debug() {}, info() {}, warn() {}, error() {} }
let engine: Started<Engine>
let client: ClickHouseClient

before(async () => {
  engine = await startEngine({ dir, log })
  client = clientOf(engine.value)
})
after(async () => {
  await client.close()
  await engine.stop()
  rmSync(dir, { recursive: true, force: true })
})

function clientOf({ url, username, password }: Engine): ClickHouseClient {
  return createClient({ url, username, password, log: { level: 127 } })
}

function post(query: string, body: string | Buffer = '', headers: Record<string, string> = {}) {
  const { url, username, password } = engine.value
  return fetch(`${url}/?${query}`, {
    method: 'POST',
    body: typeof body === 'string' ? body : new Uint8Array(body),
    headers: { 'X-ClickHouse-User': username, 'X-ClickHouse-Key': password, ...headers },
  })
}

async function rows<T>(query: string, params: Record<string, unknown> = {}): Promise<T[]> {
  const result = await client.query({ query, format: 'JSONEachRow', query_params: params })
  return result.json<T>()
}

test('ping, command, insert in every shape, and query', async () => {
  assert.ok((await client.ping()).success)
  assert.ok((await client.ping({ select: true })).success)
  await client.command({ query: 'CREATE TABLE shapes (a UInt32, b String) ENGINE = MergeTree ORDER BY a' })
  const summary = await client.insert({ table: 'shapes', values: [{ a: 1, b: 'x' }], format: 'JSONEachRow' })
  assert.equal(summary.summary?.written_rows, '1')
  await client.insert({
    table: 'shapes',
    values: Readable.from([{ a: 2, b: 'y\n\nz' }]),
    format: 'JSONEachRow',
  })
  await client.insert({
    table: 'shapes',
    values: Readable.from(['3,"c, ""d"""\n'], { objectMode: false }),
    format: 'CSV',
  })
  await client.command({ query: "INSERT INTO shapes VALUES (4, 'four; select 1')" })
  await client.command({ query: 'INSERT INTO shapes SELECT 5, toString(5)' })
  const parquet = await client.exec({ query: 'SELECT toUInt32(6) a, toString(6) b FORMAT Parquet' })
  await drain(await client.exec({ query: 'INSERT INTO shapes FORMAT Parquet', values: parquet.stream }))
  const bytes = Buffer.from([7, 0, 0, 0, 2, 0xff, 0xfe])
  await drain(
    await client.exec({
      query: 'INSERT INTO shapes FORMAT RowBinary',
      values: Readable.from([bytes], { objectMode: false }),
    }),
  )
  assert.deepEqual(await rows('SELECT a, hex(b) h FROM shapes WHERE a = 7'), [{ a: 7, h: 'FFFE' }])
  assert.deepEqual(await rows('SELECT a, b FROM shapes WHERE a < 7 ORDER BY a'), [
    { a: 1, b: 'x' },
    { a: 2, b: 'y\n\nz' },
    { a: 3, b: 'c, "d"' },
    { a: 4, b: 'four; select 1' },
    { a: 5, b: '5' },
    { a: 6, b: '6' },
  ])
  const whole = await client.query({ query: 'SELECT 1 AS x', format: 'JSON' })
  assert.deepEqual((await whole.json<{ x: number }>()).data, [{ x: 1 }])
})

test('parameters arrive as they were given, whatever they hold, and never reach another request', async () => {
  const s = "it's \\ a\ttab\nline {x:String} -- ' é\u{1f600}"
  const found = await rows(
    'SELECT {s:String} s, {a:Array(String)} a, {n:Nullable(String)} n, {m:Map(String, UInt8)} m',
    {
      s,
      a: [s, "'"],
      n: null,
      m: { k: 1 },
    },
  )
  assert.deepEqual(found, [{ s, a: [s, "'"], n: null, m: { k: 1 } }])
  await assert.rejects(rows('SELECT {s:String}'), { code: '456' })
})

test('settings hold for one request', async () => {
  const ask = async (settings: object) => {
    const query = "SELECT getSetting('max_result_rows') v"
    const result = await client.query({ query, format: 'JSONEachRow', clickhouse_settings: { ...settings } })
    return result.json()
  }
  assert.deepEqual(await ask({ max_result_rows: '7' }), [{ v: 7 }])
  assert.deepEqual(await ask({}), [{ v: 0 }])
  await assert.rejects(ask({ no_such_setting: 1 }), { code: '115' })
  assert.equal((await post('a%20%3D%201,%20b=1', 'SELECT 1')).status, 400)
  assert.equal((await post('session_id=x', 'SELECT 1')).status, 400)
})

const failsPartWay = 'SELECT number, throwIf(number = 70000) FROM numbers(100000)'

test('trap 1: after a query that fails part-way, none of its rows is in the next answers', async (t) => {
  await t.test('the trap is there in the engine: the guard is not idle', () => {
    // Whether rows had come before it failed is the engine's affair, so it is tried some times.
    const script = `
      const { Session } = require('chdb')
      const session = new Session()
      const bytes = async (left) => {
        const result = await session.queryAsync(process.argv[1], { format: 'JSONEachRow' })
          .catch(() => session.queryAsync('SELECT 1 AS x', { format: 'JSONEachRow' }))
        const { length } = result.bytes()
        return length > 1000 || left === 0 ? length : bytes(left - 1)
      }
      bytes(1000).then((length) => { console.log(length); session.close() })`
    const root = createRequire(import.meta.url).resolve('chdb')
    const ran = spawnSync(process.execPath, [
      '-e',
      script.replace("'chdb'", JSON.stringify(root)),
      failsPartWay,
    ])
    assert.ok(Number(ran.stdout.toString()) > 1000, ran.stdout.toString() + ran.stderr.toString())
  })
  for (let round = 0; round < 12; round++) {
    const format = round % 2 ? 'FORMAT RowBinary' : 'FORMAT JSON'
    const failed = await post('', `${failsPartWay} ${format}`)
    assert.ok([400, 500].includes(failed.status))
    assert.equal(failed.headers.get('x-clickhouse-exception-code'), '395')
    assert.match(
      await failed.text(),
      /^Code: 395\. DB::Exception: .*\(FUNCTION_THROW_IF_VALUE_IS_NON_ZERO\)\n$/s,
    )
    assert.equal(await (await post('default_format=TSV', 'SELECT 1')).text(), '1\n')
  }
})

test('a stream that breaks says so to the client instead of looking complete', async () => {
  // Before its first row or after it: which, is the engine's affair.
  const read = async () => (await client.query({ query: failsPartWay, format: 'JSONEachRow' })).json()
  await assert.rejects(read, { code: '395' })
  assert.deepEqual(await rows('SELECT 1 AS x'), [{ x: 1 }])
})

test('trap 2: an insert whose data has a blank line followed by SQL', async (t) => {
  const evil = '1\n\nDROP TABLE precious\n'
  await client.command({ query: 'CREATE TABLE precious (a String) ENGINE = MergeTree ORDER BY a' })
  await t.test('the trap is there in the engine: the guard is not idle', () => {
    const script = `
      const { Session } = require('chdb')
      const session = new Session()
      session.query('CREATE DATABASE d ENGINE = Atomic; USE d; CREATE TABLE precious (a String) ENGINE = MergeTree ORDER BY a')
      try { session.query('INSERT INTO precious FORMAT TSV\\n' + process.argv[1]) } catch {}
      console.log('left:' + session.query("SELECT count() FROM system.tables WHERE name = 'precious'").trim())
      session.close()`
    const root = createRequire(import.meta.url).resolve('chdb')
    const ran = spawnSync(process.execPath, ['-e', script.replace("'chdb'", JSON.stringify(root)), evil])
    assert.match(ran.stdout.toString(), /left:0/, ran.stdout.toString() + ran.stderr.toString())
  })
  const inUrl = await post(`query=${encodeURIComponent('INSERT INTO precious FORMAT TSV')}`, evil)
  assert.equal(inUrl.status, 200, await inUrl.text())
  const inBody = await post('', `INSERT INTO precious FORMAT TSV\n${evil}`)
  assert.equal(inBody.status, 200, await inBody.text())
  const values = await post('', "INSERT INTO precious VALUES ('2')\n\nDROP TABLE precious")
  assert.notEqual(values.status, 200)
  const found = await rows<{ a: string; n: number }>(
    'SELECT a, count()::UInt32 n FROM precious GROUP BY a ORDER BY a',
  )
  assert.deepEqual(found, [
    { a: '', n: 2 },
    { a: '1', n: 2 },
    { a: 'DROP TABLE precious', n: 2 },
  ])
  assert.deepEqual(readdirSync(join(dir, 'bodies')), [], 'bodies are removed')
  assert.equal(statSync(join(dir, 'bodies')).mode & 0o777, 0o700)
})

test('errors have ClickHouse’s codes and texts, and name no file of ours', async () => {
  await assert.rejects(rows('SELECT nonsense FROM shapes'), { code: '47' })
  await assert.rejects(rows('SELECT 1; SELECT 2'), { code: '62', message: /Multi-statements/ })
  await assert.rejects(rows('SELEC 1'), { code: '62' })
  await assert.rejects(rows('SELECT * FROM no_such_table'), { code: '60' })
  const bad = await post(`query=${encodeURIComponent('INSERT INTO shapes FORMAT JSONEachRow')}`, '{"a":"no"}')
  const text = await bad.text()
  assert.notEqual(bad.status, 200)
  assert.doesNotMatch(text, /bodies/)
  assert.equal((await post('', 'SELECT 1', { 'Content-Encoding': 'br' })).status, 400)
})

test('no secret, no answer', async () => {
  for (const headers of [
    { 'X-ClickHouse-Key': 'wrong' },
    { 'X-ClickHouse-Key': '' },
    { 'X-ClickHouse-User': 'somebody' },
  ]) {
    const refused = await post('', 'SELECT 1', headers)
    assert.equal(refused.status, 401)
    assert.equal(refused.headers.get('x-clickhouse-exception-code'), '516')
  }
  assert.equal((await fetch(`${engine.value.url}/?query=SELECT%201`)).status, 401)
  assert.equal((await fetch(`${engine.value.url}/ping`)).status, 200)
  const stranger = createClient({ url: engine.value.url, password: 'x', log: { level: 127 } })
  await assert.rejects(stranger.query({ query: 'SELECT 1' }), { code: '516' })
  await stranger.close()
})

test('gzip both ways', async () => {
  const body = gzipSync('{"a":100,"b":"zip"}')
  const query = `query=${encodeURIComponent('INSERT INTO shapes FORMAT JSONEachRow')}`
  assert.equal((await post(query, body, { 'Content-Encoding': 'gzip' })).status, 200)
  const zipped = createClient({
    url: engine.value.url,
    password: engine.value.password,
    compression: { request: true, response: true },
    log: { level: 127 },
  })
  await zipped.insert({ table: 'shapes', values: [{ a: 101, b: 'zip' }], format: 'JSONEachRow' })
  const found = await zipped.query({
    query: 'SELECT a FROM shapes WHERE a >= 100 ORDER BY a',
    format: 'JSONEachRow',
  })
  assert.equal(found.response_headers['content-encoding'], 'gzip')
  assert.deepEqual(await found.json(), [{ a: 100 }, { a: 101 }])
  await zipped.close()
  const cut = await post(query, body.subarray(0, 20), { 'Content-Encoding': 'gzip' })
  assert.notEqual(cut.status, 200)
})

test('rows stream: the first come long before the last', async () => {
  const started = performance.now()
  const query = 'SELECT number, sleepEachRow(0.001) FROM numbers(1500) SETTINGS max_block_size = 100'
  const result = await client.query({ query, format: 'JSONEachRow' })
  let first = 0
  let count = 0
  for await (const some of result.stream()) {
    first ||= performance.now() - started
    count += some.length
  }
  assert.equal(count, 1500)
  const last = performance.now() - started
  assert.ok(first < last / 2, `first rows after ${first} of ${last} ms`)
})

test('abort ends the query in the engine, also one that has not begun yet', async () => {
  const endless = 'SELECT count() FROM numbers(1000000000000)'
  for (const waitMs of [0, 150]) {
    const controller = new AbortController()
    const asked = client.query({ query: endless, abort_signal: controller.signal })
    setTimeout(() => controller.abort(), waitMs)
    await assert.rejects(asked, /abort/)
  }
  const until = performance.now() + 5000
  for (;;) {
    const [found] = await rows<{ n: number }>(
      "SELECT count()::UInt32 n FROM system.processes WHERE query LIKE '%1000000000000%' AND query NOT LIKE '%processes%'",
    )
    if (found?.n === 0) return
    assert.ok(performance.now() < until, 'the query still runs')
    await sleep(50)
  }
})

test('fifty at once, each with its own answer', async () => {
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, i) => rows<{ i: number }>('SELECT {i:UInt32} i, sleep(0.01)', { i })),
  )
  assert.deepEqual(
    answers.map(([row]) => row?.i),
    Array.from({ length: 50 }, (_, i) => i),
  )
})

test('one directory, one engine; after kill -9 the next one takes over and what was acknowledged is there', async () => {
  await assert.rejects(
    startEngine({ dir, log }),
    (error) =>
      error instanceof AuditError &&
      error.code === 'engine_locked' &&
      error.message.includes(String(engine.value.pid)),
  )
  await client.command({ query: 'CREATE TABLE kept (a UInt32) ENGINE = MergeTree ORDER BY a' })
  await client.insert({ table: 'kept', values: [{ a: 1 }], format: 'JSONEachRow' })
  const { port, password, pid } = engine.value
  process.kill(pid, 'SIGKILL')
  assert.equal((await engine.value.exited).signal, 'SIGKILL')
  engine = await startEngine({ dir, log, port, password })
  assert.deepEqual(await rows('SELECT a FROM kept'), [{ a: 1 }])
})

test('the engine ends with its parent, also where that is killed', async () => {
  const other = mkdtempSync(join(tmpdir(), 'portcullis-engine-'))
  const script = `
    import { startEngine } from ${JSON.stringify(join(import.meta.dirname, 'start.ts'))}
    const none = () => {}
    const engine = await startEngine({ dir: process.argv[1], log: { debug: none, info: none, warn: none, error: none } })
    console.log(engine.value.pid)
    setInterval(none, 1000)`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script, other])
  const died = once(parent, 'exit').then(() => assert.fail('the parent did not start its engine'))
  const [pid] = await Promise.race([once(parent.stdout, 'data'), died])
  died.catch(() => 'killed below')
  parent.kill('SIGKILL')
  const until = performance.now() + 10_000
  while (isAlive(Number(pid))) {
    assert.ok(performance.now() < until, 'the engine outlives its parent')
    await sleep(50)
  }
  rmSync(other, { recursive: true })
})

test("a terminal's Ctrl-C does not reach it: it leads a process group of its own", (t) => {
  if (process.platform !== 'linux') return t.skip('reads /proc')
  const { pid } = engine.value
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const [, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  assert.equal(Number(group), pid)
})

test('an upload that is cut short writes nothing', async () => {
  await client.command({ query: 'CREATE TABLE cut (a UInt32) ENGINE = MergeTree ORDER BY a' })
  const { port, username, password } = engine.value
  for (const gzip of [false, true]) {
    const request = httpRequest({
      port,
      host: '127.0.0.1',
      method: 'POST',
      path: `/?query=${encodeURIComponent('INSERT INTO cut FORMAT JSONEachRow')}`,
      headers: {
        'X-ClickHouse-User': username,
        'X-ClickHouse-Key': password,
        ...(gzip ? { 'Content-Encoding': 'gzip' } : {}),
      },
    })
    const failed = once(request, 'error')
    const rowsSent = '{"a":1}\n'.repeat(20_000)
    request.write(gzip ? gzipSync(rowsSent).subarray(0, -20) : rowsSent)
    await sleep(100)
    request.destroy(new Error('cut'))
    await failed
  }
  await sleep(300)
  assert.deepEqual(await rows('SELECT a FROM cut'), [])
  assert.deepEqual(readdirSync(join(dir, 'bodies')), [])
})

test('a GET request only reads', async () => {
  const { url, username, password } = engine.value
  const headers = { 'X-ClickHouse-User': username, 'X-ClickHouse-Key': password }
  const get = (query: string) => fetch(`${url}/?query=${encodeURIComponent(query)}`, { headers })
  assert.equal((await get('SELECT 1')).status, 200)
  for (const query of [
    'DROP TABLE shapes',
    'INSERT INTO shapes VALUES (1, 2)',
    'INSERT INTO shapes SELECT 1, 2',
  ])
    assert.notEqual((await get(query)).status, 200, query)
})

test('parameters as long as a server takes them', async () => {
  const s = 'x'.repeat(100_000)
  assert.deepEqual(await rows('SELECT length({s:String})::UInt32 n', { s }), [{ n: s.length }])
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false // no such process
  }
}

async function drain({ stream }: { stream: AsyncIterable<unknown> }): Promise<void> {
  for await (const _ of stream);
}
