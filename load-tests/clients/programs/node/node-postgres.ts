/** node-postgres (pg) with pg-cursor and pg-copy-streams. */
import { Readable, Writable } from 'node:stream'
import { pipeline as pump } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import {
  ca,
  digest,
  errorOf,
  fieldsOf,
  run,
  target,
  typesQuery,
  typesValues,
  unsupported,
} from './harness.ts'

const client = await open()

await run({
  connect: () =>
    using({}, (own) => own.query('select current_database() as d, current_user as u').then(rowsOf)),
  tls: () => using({ ssl: { ca } }, (own) => own.query('select 1 as n').then(rowsOf)),
  simple: async () => {
    const results = (await client.query(
      "select 1 as a; select 'x' as b, null as c; create temp table tmp(i int); insert into tmp values (1), (2); ",
    )) as unknown as pg.QueryResult[]
    return results.map(({ command, rowCount, rows, fields }) => [command, rowCount, rows, fields.length])
  },
  types: () => client.query(typesQuery, typesValues).then(shapeOf),
  // Few types: its binary parsers take half a minute for one long numeric, and read some numbers wrong.
  binary: () =>
    client
      .query({
        text: 'select $1::int4 a, $2::text b, $3::bool c, $4::timestamptz d, $5::bytea e, $6::text f',
        values: [7, 'Grüße', true, '2026-02-28T12:00:00Z', Buffer.from([0, 255]), null],
        binary: true,
      } as pg.QueryConfig)
      .then(shapeOf),
  prepared: async () => {
    const seen: unknown[] = []
    for (let n = 1; n <= 50; n++) {
      const { rows } = await client.query({ name: 'times', text: 'select $1::int * $2 as n', values: [n, 2] })
      seen.push(rows[0].n)
    }
    const named = await client.query(
      "select name, statement from pg_prepared_statements where name = 'times'",
    )
    return { seen, named: named.rows }
  },
  pipeline: async () => {
    const own = await open({ pipeline: true } as pg.ClientConfig)
    const first = await Promise.all(
      Array.from({ length: 100 }, (_, n) => own.query('select $1::int as n', [n])),
    )
    const second = await Promise.allSettled([
      own.query('select 1 as n'),
      own.query('select 1 / $1::int as n', [0]),
      own.query('select 3 as n'),
    ])
    await own.end()
    return {
      first: first.map(({ rows }) => rows[0].n),
      second: second.map((one) => (one.status === 'fulfilled' ? one.value.rows : one.reason.code)),
    }
  },
  cursor: async () => {
    const cursor = client.query(
      new Cursor('select n, t from work.numbers where n <= $1 order by n', [100_000]),
    )
    const sum = digest()
    const pieces: number[] = []
    for (let rows = await cursor.read(9_999); rows.length > 0; rows = await cursor.read(9_999)) {
      pieces.push(rows.length)
      sum.add(JSON.stringify(rows))
    }
    await cursor.close()
    const left = client.query(new Cursor('select n from work.numbers', []))
    const some = await left.read(3)
    await left.close()
    return { pieces, digest: sum.hex(), left: some.length, next: rowsOf(await client.query('select 1 as n')) }
  },
  large: async () => {
    const { rows } = await client.query(
      'select repeat(chr(65 + n % 26), 1000) as t from generate_series(1, 25000) n',
    )
    const sum = digest()
    for (const { t } of rows) sum.add(t)
    return { rows: rows.length, digest: sum.hex() }
  },
  'copy-in': async () => {
    const lines = Array.from(
      { length: 5000 },
      (_, n) => `${n}\ttext ${n}\\\\\t\\\\x00ff\t2026-01-01 00:00:00+00\n`,
    )
    await pump(Readable.from(lines), client.query(copyFrom('copy work.copied from stdin')))
    const bad = await errorOf(
      pump(Readable.from(['a\tb\tc\td\n']), client.query(copyFrom('copy work.copied from stdin'))),
    )
    const counted = await client.query(
      'select count(*)::int, min(t), max(encode(b, $$hex$$)) from work.copied',
    )
    return { counted: counted.rows, bad: fieldsOf(bad) }
  },
  'copy-out': async () => {
    const read = async (sql: string) => {
      const sum = digest()
      let bytes = 0
      await pump(
        client.query(copyTo(sql)),
        new Writable({
          write(chunk: Buffer, _encoding, done) {
            bytes += chunk.length
            sum.add(chunk)
            done()
          },
        }),
      )
      return { bytes, digest: sum.hex() }
    }
    const query = '(select n, t from work.numbers order by n limit 20000)'
    return [await read(`copy ${query} to stdout csv header`), await read(`copy ${query} to stdout binary`)]
  },
  transaction: async () => {
    await client.query('begin isolation level serializable')
    await client.query("insert into work.account values (10, 'tom', 1)")
    await client.query('commit')
    await client.query('begin')
    await client.query("insert into work.account values (11, 'tim', 1)")
    const first = await errorOf(client.query("insert into work.account values (11, 'tim', 1)"))
    const second = await errorOf(client.query('select 1'))
    const end = await client.query('commit')
    const left = await client.query('select id from work.account where id >= 10')
    return { first: first.code, second: second.code, end: end.command, left: left.rows }
  },
  savepoint: async () => {
    await client.query('begin')
    await client.query("insert into work.account values (20, 'una', 1)")
    await client.query('savepoint a')
    const failed = await errorOf(client.query('update work.account set balance = $1 where id = 20', [-1]))
    await client.query('rollback to savepoint a')
    await client.query('update work.account set balance = $1 where id = 20', [5])
    await client.query('release savepoint a')
    await client.query('commit')
    return { code: failed.code, left: rowsOf(await client.query('select * from work.account where id = 20')) }
  },
  notice: async () => {
    const told: unknown[] = []
    const listener = (notice: object) => void told.push(fieldsOf(notice as Record<string, unknown>))
    client.on('notice', listener)
    const { rows } = await client.query('select work.tell()')
    client.off('notice', listener)
    return { told, rows }
  },
  listen: async () => {
    await client.query('listen news')
    const heard = new Promise((resolve) =>
      client.once('notification', ({ channel, payload }) => resolve({ channel, payload })),
    )
    await using({}, (other) => other.query("select pg_notify('news', 'extra ' || $1)", ['extra']))
    return heard
  },
  cancel: async () => {
    const own = await open()
    const slept = errorOf(own.query('select pg_sleep(30)'))
    await delay(200)
    // What the library's own cancel sends; it has no method for it on a connected client.
    const { processID, secretKey } = own as unknown as { processID: number; secretKey: number }
    const canceller = new (pg as unknown as { Connection: new (c: object) => Canceller }).Connection({})
    canceller.once('connect', () => canceller.cancel(processID, secretKey))
    canceller.connect(target.port, target.host)
    const { code, message } = await slept
    const after = rowsOf(await own.query('select 1 as n'))
    await own.end()
    return { code, message, after }
  },
  error: async () => {
    const broken = [
      'select * from work.nowhere',
      "insert into work.account values (1, 'ann', 1)",
      "insert into work.account values (30, 'x', -1)",
      'insert into work.entry (account, amount) values (999, 1)',
      'insert into work.account (id) values (31)',
      'selec 1',
      "select 'x'::int",
    ]
    const seen: unknown[] = []
    for (const sql of broken) seen.push(fieldsOf(await errorOf(client.query(sql))))
    return seen
  },
  reconnect: async () => {
    const own = await open()
    const { code, severity } = await errorOf(own.query('select pg_terminate_backend(pg_backend_pid())'))
    const after = await errorOf(own.query('select 1'))
    const again = await using({}, (fresh) => fresh.query('select 1 as n').then(rowsOf))
    return { code, severity, after: after.message, again }
  },
  'large-object': async () => unsupported('no interface of its own; by SQL functions only'),
  catalogue: async () => unsupported('none of its own'),
})

await client.end()

interface Canceller extends NodeJS.EventEmitter {
  connect(port: number, host: string): void
  cancel(processId: number, secret: number): void
}

async function open(config: pg.ClientConfig = {}): Promise<pg.Client> {
  const own = new pg.Client({ ...target, ...config })
  own.on('error', () => undefined)
  await own.connect()
  return own
}

async function using<T>(config: pg.ClientConfig, work: (own: pg.Client) => Promise<T>): Promise<T> {
  const own = await open(config)
  try {
    return await work(own)
  } finally {
    await own.end()
  }
}

function rowsOf(result: pg.QueryResult): unknown[] {
  return result.rows
}

function shapeOf({ rows, fields }: pg.QueryResult): unknown {
  const types = fields.map(({ name, dataTypeID, format }) => [name, name === 'x' ? 0 : dataTypeID, format])
  return { rows, types }
}
