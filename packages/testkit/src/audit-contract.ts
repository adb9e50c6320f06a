/**
 * What every audit store must do, whichever stands behind it: registered as node:test tests over a store that the caller
 * opens. It works in a database of its own and drops it afterwards.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { AuditError, type AuditStore, migrate, openAuditStore, type Table } from '@portcullis/platform/audit'

export interface AuditPlace {
  readonly url: string
  readonly username: string
  readonly password: string
}

const schemas = join(import.meta.dirname, '../../../schemas/clickhouse')
const log = { debug() {}, info() {}, warn() {}, error() {} }

export function auditContract(name: string, place: () => Promise<AuditPlace>): void {
  suite(`audit store: ${name}`, () => {
    const database = `portcullis_test_${randomBytes(6).toString('hex')}`
    let store: AuditStore
    let where: AuditPlace

    before(async () => {
      where = await place()
      store = openAuditStore(where.url, { ...where, database, log })
    })
    after(async () => {
      await store.command(`DROP DATABASE IF EXISTS ${database}`, { in: 'server' })
      await store.close()
    })

    test('migrates from nothing, in two processes at once, and then has nothing to do', async () => {
      const other = openAuditStore(where.url, { ...where, database, log })
      await Promise.all([migrate(store, { log }), migrate(other, { log })])
      await other.close()
      assert.deepEqual(await migrate(store, { log }), { applied: [] })
      const tables = await store.query<{ name: string }>(
        "SELECT name FROM system.tables WHERE database = {database:String} AND engine = 'View'",
        { database },
      )
      const names = new Set(tables.map((row) => row.name))
      for (const wanted of [
        'sessions',
        'commands',
        'recordings',
        'findings',
        'verdicts',
        'approvals',
        'control_events',
        'sign_ins',
      ])
        assert.ok(names.has(wanted), wanted)
      const silent = await store.query(
        "SELECT table, name FROM system.columns WHERE database = {database:String} AND comment = ''",
        { database },
      )
      assert.deepEqual(silent, [], 'every column says what it is')
    })

    test('a migration that was changed after it was applied is an error that says what to do', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'portcullis-migrations-'))
      cpSync(schemas, dir, { recursive: true })
      const [first] = readdirSync(dir).sort()
      writeFileSync(join(dir, String(first)), 'SELECT 1;\n')
      await rejectsWith(migrate(store, { log, dir }), 'migration', /001_commands\.sql.*new file/)
      rmSync(join(dir, String(readdirSync(dir).sort().at(-1))))
      cpSync(join(schemas, String(first)), join(dir, String(first)))
      await rejectsWith(migrate(store, { log, dir }), 'migration', /newer version/)
      writeFileSync(join(dir, '1_bad.sql'), '')
      await rejectsWith(migrate(store, { log, dir }), 'migration', /NNN_/)
      rmSync(dir, { recursive: true })
    })

    test('retention is a setting per table: set, changed, taken away', async () => {
      const ttl = async () => {
        const [row] = await store.query<{ q: string }>(
          "SELECT create_table_query AS q FROM system.tables WHERE database = {database:String} AND name = 'commands_log'",
          { database },
        )
        return /toIntervalDay\((\d+)\)/.exec(row?.q ?? '')?.[1]
      }
      await migrate(store, { log, retentionDays: { commands: 30 } })
      assert.equal(await ttl(), '30')
      await migrate(store, { log, retentionDays: { commands: 400 } })
      assert.equal(await ttl(), '400')
      await migrate(store, { log })
      assert.equal(await ttl(), undefined)
    })

    test('every type of column comes back as it went in', async () => {
      await store.command(`CREATE TABLE typed (
        id UInt64, text String, bytes String, hash FixedString(4), lc LowCardinality(String), yes Bool, n Int64,
        f Float64, at DateTime64(6, 'UTC'), maybe Nullable(DateTime64(6, 'UTC')), list Array(LowCardinality(String)),
        pairs Array(Tuple(a String, b Int64)), map Map(LowCardinality(String), String)
      ) ENGINE = MergeTree ORDER BY id`)
      const long = 'é\u{1f600}\u0000\n\n\\\'"'.repeat(5000)
      await store.insert(typed, [
        { ...plain, id: 1, text: long, n: -(2 ** 53) + 1, f: -0.1, at: 1_700_000_000_123_456, maybe: null },
        { ...plain, id: 2, yes: true, list: ['', 'x'], pairs: [['p', -1]], map: { k: 'v', '': 'w' } },
      ])
      const rows = await store.query<Record<string, unknown>>(
        'SELECT * REPLACE (hex(bytes) AS bytes, hex(hash) AS hash) FROM typed ORDER BY id',
      )
      assert.equal(rows[0]?.text, long)
      assert.equal(rows[0]?.bytes, 'FF00FE')
      assert.equal(rows[0]?.hash, '01020304')
      assert.equal(rows[0]?.n, -(2 ** 53) + 1)
      assert.equal(rows[0]?.f, -0.1)
      assert.equal(rows[0]?.at, '2023-11-14T22:13:20.123456Z')
      assert.equal(rows[0]?.maybe, null)
      assert.deepEqual(rows[1]?.list, ['', 'x'])
      assert.deepEqual(rows[1]?.pairs, [{ a: 'p', b: -1 }])
      assert.deepEqual(rows[1]?.map, { k: 'v', '': 'w' })
      assert.equal(rows[1]?.yes, true)
      const bad = { ...plain, id: 3, hash: Buffer.from([1]) }
      await rejectsWith(store.insert(typed, [plain, bad]), 'invalid_data', /typed\.hash: expected 4 bytes/)
      assert.equal((await store.query('SELECT 1 FROM typed')).length, 2, 'nothing of a bad batch is written')
    })

    test('values in a query stay values', async () => {
      const evil = "x' OR 1 = 1; DROP TABLE typed -- \\ {evil:String}\n\t"
      assert.deepEqual(await store.query('SELECT {evil:String} AS e, {n:UInt8} AS n', { evil, n: 3 }), [
        { e: evil, n: 3 },
      ])
      assert.deepEqual(
        await store.query('SELECT arrayJoin({list:Array(String)}) AS e', { list: [evil, 'b'] }),
        [{ e: evil }, { e: 'b' }],
      )
    })

    test('a large result streams in pieces, and may be left early', async () => {
      let rows = 0
      let pieces = 0
      for await (const some of store.stream<{ n: number }>('SELECT number AS n FROM numbers(300000)')) {
        pieces++
        rows += some.length
      }
      assert.equal(rows, 300_000)
      assert.ok(pieces > 2, `${pieces} pieces`)
      for await (const some of store.stream('SELECT number FROM numbers(1000000000)')) {
        assert.ok(some.length > 0)
        break
      }
      await store.ping()
    })

    test('one row a command: phases, repetitions and two days at once, before anything was merged', async () => {
      const day = Date.UTC(2026, 10, 21) * 1000
      const row = (id: string, phase: string, version: number, at: number) => ({ id, phase, version, at })
      const batch = [
        row('a', 'started', 0, day - 1),
        row('a', 'finished', 5, day - 1),
        row('b', 'finished', 5, day),
      ]
      await store.insert(commands, batch)
      await store.insert(commands, batch)
      await store.insert(commands, [row('a', 'progress', 3, day - 1), row('b', 'finished', 5, day)])
      const found = await store.query(
        'SELECT command_id AS id, phase, toString(toDate(started_at)) AS day FROM commands ORDER BY started_at DESC',
      )
      assert.deepEqual(found, [
        { id: 'b', phase: 'finished', day: '2026-11-21' },
        { id: 'a', phase: 'finished', day: '2026-11-20' },
      ])
      const [raw] = await store.query<{ n: number }>('SELECT count() AS n FROM commands_log')
      assert.ok(Number(raw?.n) > 2, 'the rows were not merged yet: the view did it')
    })

    test('each failure has its code', async () => {
      await rejectsWith(store.query('SELECT nonsense FROM commands'), 'refused', /nonsense/)
      await rejectsWith(store.query('SELECT * FROM no_such_table'), 'refused', /no_such_table/)
      await rejectsWith(
        store.query('SELECT throwIf(number = 250000) FROM numbers(300000)'),
        'refused',
        /throwIf/,
      )
      const stranger = openAuditStore(where.url, { ...where, password: 'wrong', database, log })
      await rejectsWith(stranger.ping(), 'denied')
      await stranger.close()
      await rejectsWith(stranger.query('SELECT 1'), 'closed')
      assert.throws(
        () => openAuditStore('ftp://x', { ...where, log }),
        (error) => error instanceof AuditError && error.code === 'invalid_url',
      )
      const nobody = openAuditStore('http://127.0.0.1:1', { ...where, database, log, retryMs: 100 })
      await rejectsWith(nobody.insert(commands, [{ id: 'x', phase: '', version: 1, at: 1 }]), 'unavailable')
      await nobody.close()
      const controller = new AbortController()
      setTimeout(() => controller.abort(), 100)
      const endless = store.query(
        'SELECT count() FROM numbers(1000000000000)',
        {},
        { signal: controller.signal },
      )
      await rejectsWith(endless, 'cancelled')
    })
  })
}

interface Typed {
  readonly [column: string]: unknown
}
const plain: Typed = {
  id: 0,
  text: '',
  bytes: Buffer.from([0xff, 0, 0xfe]),
  hash: Buffer.from([1, 2, 3, 4]),
  lc: 'x',
  yes: false,
  n: 0,
  f: 0,
  at: 0,
  maybe: 0,
  list: [],
  pairs: [],
  map: {},
}
const types: Readonly<Record<string, string>> = {
  id: 'UInt64',
  text: 'String',
  bytes: 'String',
  hash: 'FixedString(4)',
  lc: 'LowCardinality(String)',
  yes: 'Bool',
  n: 'Int64',
  f: 'Float64',
  at: 'DateTime64(6)',
  maybe: 'Nullable(DateTime64(6))',
  list: 'Array(LowCardinality(String))',
  pairs: 'Array(Tuple(String, Int64))',
  map: 'Map(LowCardinality(String), String)',
}
const typed: Table<Typed> = {
  name: 'typed',
  columns: Object.entries(types).map(([name, type]) => ({ name, type, of: (row) => row[name] })),
}

const commands: Table<{ id: string; phase: string; version: number; at: number }> = {
  name: 'commands_log',
  columns: [
    { name: 'command_id', type: 'String', of: (row) => row.id },
    { name: 'phase', type: 'LowCardinality(String)', of: (row) => row.phase },
    { name: 'version', type: 'UInt64', of: (row) => row.version },
    { name: 'started_at', type: 'DateTime64(6)', of: (row) => row.at },
  ],
}

async function rejectsWith(
  promise: Promise<unknown>,
  code: AuditError['code'],
  message = /./,
): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof AuditError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  })
}
