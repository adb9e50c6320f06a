/** postgres.js (postgres). */
import { Readable, Writable } from 'node:stream'
import { pipeline as pump } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
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

const told: unknown[] = []
const { user: username, ...where } = target
const options = {
  ...where,
  username,
  max: 1,
  onnotice: (notice: postgres.Notice) => void told.push(fieldsOf(notice)),
}
const sql = postgres(options)

await run({
  connect: () =>
    using({}, async (own) => [...(await own`select current_database() as d, current_user as u`)]),
  tls: () => using({ ssl: { ca } }, async (own) => [...(await own`select 1 as n`)]),
  simple: async () => {
    const results = await sql
      .unsafe(
        'select 1 as a; create temp table tmp(i int); insert into tmp values (1), (2); select i from tmp',
      )
      .simple()
    return (results as unknown as postgres.RowList<postgres.Row[]>[]).map((one) => [
      one.command,
      one.count,
      [...one],
    ])
  },
  types: async () => {
    const result = await sql.unsafe(typesQuery, typesValues.map(asSent))
    return {
      rows: [...result],
      types: result.columns.map(({ name, type }) => [name, name === 'x' ? 0 : type]),
    }
  },
  binary: async () => unsupported('text format only'),
  prepared: async () => {
    const seen: unknown[] = []
    for (let n = 1; n <= 50; n++) seen.push(...(await sql`select ${n}::int * ${2}::int as n`))
    const named =
      await sql`select count(*)::int from pg_prepared_statements where statement like '%int * $2%'`
    return { seen, named: named[0] }
  },
  pipeline: async () => {
    const first = await Promise.all(Array.from({ length: 100 }, (_, n) => sql`select ${n}::int as n`))
    const second = await Promise.allSettled([
      sql`select 1 as n`,
      sql`select 1 / ${0}::int as n`,
      sql`select 3 as n`,
    ])
    return {
      first: first.map(([row]) => row?.n),
      second: second.map((one) => (one.status === 'fulfilled' ? [...one.value] : one.reason.code)),
    }
  },
  cursor: async () => {
    const sum = digest()
    const pieces: number[] = []
    await sql`select n, t from work.numbers where n <= ${100_000} order by n`.cursor(9_999, (rows) => {
      pieces.push(rows.length)
      sum.add(JSON.stringify(rows))
    })
    let left = 0
    for await (const rows of sql`select n from work.numbers`.cursor(3)) {
      left = rows.length
      break
    }
    return { pieces, digest: sum.hex(), left, next: [...(await sql`select 1 as n`)] }
  },
  large: async () => {
    const rows = await sql`select repeat(chr(65 + n % 26), 1000) as t from generate_series(1, 25000) n`
    const sum = digest()
    for (const { t } of rows) sum.add(t)
    return { rows: rows.length, digest: sum.hex() }
  },
  'copy-in': async () => {
    const lines = Array.from(
      { length: 5000 },
      (_, n) => `${n}\ttext ${n}\\\\\t\\\\x00ff\t2026-01-01 00:00:00+00\n`,
    )
    await pump(Readable.from(lines), await sql`copy work.copied from stdin`.writable())
    return [...(await sql`select count(*)::int, min(t), max(encode(b, 'hex')) from work.copied`)]
  },
  'copy-out': async () => {
    const sum = digest()
    let bytes = 0
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        bytes += chunk.length
        sum.add(chunk)
        done()
      },
    })
    await pump(
      await sql`copy (select n, t from work.numbers order by n limit 20000) to stdout csv`.readable(),
      sink,
    )
    return { bytes, digest: sum.hex() }
  },
  transaction: async () => {
    await sql.begin(
      'isolation level serializable',
      (own) => own`insert into work.account values (10, 'tom', 1)`,
    )
    let second: unknown
    const first = await errorOf(
      sql.begin(async (own) => {
        await own`insert into work.account values (11, 'tim', 1)`
        const failed = await errorOf(own`insert into work.account values (11, 'tim', 1)`)
        second = (await errorOf(own`select 1`)).code
        throw failed
      }),
    )
    return { first: first.code, second, left: [...(await sql`select id from work.account where id >= 10`)] }
  },
  savepoint: async () => {
    let code: unknown
    await sql.begin(async (own) => {
      await own`insert into work.account values (20, 'una', 1)`
      const failed = await errorOf(
        own.savepoint((inner) => inner`update work.account set balance = ${-1} where id = 20`),
      )
      code = failed.code
      await own.savepoint('named', (inner) => inner`update work.account set balance = ${5} where id = 20`)
    })
    return { code, left: [...(await sql`select * from work.account where id = 20`)] }
  },
  notice: async () => {
    told.length = 0
    const rows = await sql`select work.tell()`
    return { told: [...told], rows: [...rows] }
  },
  listen: async () =>
    using({}, async (own) => {
      const heard = Promise.withResolvers<string>()
      await own.listen('news', heard.resolve)
      await sql.notify('news', 'extra extra')
      return heard.promise
    }),
  cancel: async () => {
    const query = sql`select pg_sleep(30)`.execute()
    await delay(200)
    query.cancel()
    const { code, message } = await errorOf(query)
    return { code, message, after: [...(await sql`select 1 as n`)] }
  },
  error: async () => {
    const broken = [
      'select * from work.nowhere',
      "insert into work.account values (1, 'ann', 1)",
      "insert into work.account values (30, 'x', -1)",
      'insert into work.entry (account, amount) values (999, 1)',
      'selec 1',
      "select 'x'::int",
    ]
    const seen: unknown[] = []
    for (const text of broken) seen.push(fieldsOf(await errorOf(sql.unsafe(text))))
    return seen
  },
  reconnect: async () => {
    const first = await errorOf(sql`select pg_terminate_backend(pg_backend_pid())`)
    // It may find out only with the next statement that its connection is gone.
    const second = await sql`select 1 as n`.then(
      (rows) => [...rows],
      (error) => error.code,
    )
    return { first: first.code, second, again: [...(await sql`select 1 as n`)] }
  },
  'large-object': async () => {
    const large = await sql.largeObject()
    const block = Buffer.alloc(100_000, 'ab')
    for (let n = 0; n < 5; n++) await large.write(block)
    await large.seek(250_001, 0)
    const [row] = (await large.read(7)) as unknown as { data: Buffer }[]
    const size = await large.size()
    await large.close()
    return { read: row?.data, size }
  },
  catalogue: async () => unsupported('none of its own'),
})

await sql.end()

type Sql = ReturnType<typeof postgres>

async function using<T>(
  more: postgres.Options<Record<string, never>>,
  work: (own: Sql) => Promise<T>,
): Promise<T> {
  const own = postgres({ ...options, ...more })
  try {
    return await work(own)
  } finally {
    await own.end()
  }
}

/** It makes JSON of what the server says is JSON, so it is given values there. */
function asSent(value: unknown, index: number): postgres.ParameterOrJSON<never> {
  const isJson = index === 16 || index === 17
  return (isJson ? JSON.parse(value as string) : value) as postgres.ParameterOrJSON<never>
}
