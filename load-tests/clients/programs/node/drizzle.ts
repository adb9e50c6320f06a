/** Drizzle ORM over node-postgres: what an ORM sends, which is not what one writes by hand. */
import { asc, eq, gt, sql } from 'drizzle-orm'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { bigint, integer, numeric, pgSchema, text } from 'drizzle-orm/pg-core'
import pg from 'pg'
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

const work = pgSchema('work')
const mood = work.enum('mood', ['sad', 'ok', 'happy'])
const account = work.table('account', {
  id: integer().primaryKey(),
  owner: text().notNull().unique(),
  balance: numeric({ precision: 12, scale: 2 }).notNull().default('0'),
})
const entry = work.table('entry', {
  id: bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  account: integer()
    .notNull()
    .references(() => account.id),
  amount: numeric({ precision: 12, scale: 2 }).notNull(),
  feeling: mood().notNull().default('ok'),
  tags: text().array().notNull().default([]),
})
const numbers = work.table('numbers', { n: integer().primaryKey(), t: text().notNull() })

const pool = new pg.Pool({ ...target, max: 2 })
pool.on('error', () => undefined)
const db = drizzle({ client: pool, schema: { account, entry, numbers } })

await run({
  connect: async () => (await db.execute(sql`select current_database() as d, current_user as u`)).rows,
  tls: async () => {
    const own = new pg.Pool({ ...target, ssl: { ca } })
    const { rows } = await drizzle({ client: own }).execute(sql`select 1 as n`)
    await own.end()
    return rows
  },
  simple: () => db.select().from(account).orderBy(asc(account.id)),
  types: async () => {
    const parts = typesQuery.split(/\$\d+/)
    const query = sql.join(
      parts.flatMap((part, at) => [
        sql.raw(part),
        ...(at < parts.length - 1 ? [sql`${sql.param(typesValues[at])}`] : []),
      ]),
    )
    return (await db.execute(query)).rows
  },
  binary: async () => unsupported('text format only'),
  prepared: async () => {
    const one = db
      .select()
      .from(numbers)
      .where(eq(numbers.n, sql.placeholder('n')))
      .prepare('one_number')
    const seen: unknown[] = []
    for (let n = 1; n <= 50; n++) seen.push(...(await one.execute({ n })))
    return seen
  },
  pipeline: async () => unsupported('one statement at a time'),
  cursor: async () => unsupported('none for this driver'),
  large: async () => {
    const rows = await db.select().from(numbers).where(gt(numbers.n, 0)).orderBy(asc(numbers.n))
    const sum = digest()
    sum.add(JSON.stringify(rows))
    return { rows: rows.length, digest: sum.hex() }
  },
  'copy-in': async () => unsupported('none'),
  'copy-out': async () => unsupported('none'),
  transaction: async () => {
    const added = await db.transaction(
      async (tx) => {
        await tx.insert(account).values({ id: 10, owner: 'tom', balance: '1' })
        return tx
          .insert(entry)
          .values([
            { account: 10, amount: '1.50', tags: ['a', 'b,c'] },
            { account: 10, amount: '2', feeling: 'sad' },
          ])
          .returning()
      },
      { isolationLevel: 'serializable', accessMode: 'read write' },
    )
    const failed = await errorOf(
      db.transaction(async (tx) => {
        await tx.insert(account).values({ id: 11, owner: 'tim' })
        await tx.insert(account).values({ id: 11, owner: 'tim' })
      }),
    )
    const joined = await db
      .select()
      .from(account)
      .innerJoin(entry, eq(entry.account, account.id))
      .orderBy(entry.id)
    return { added, code: codeOf(failed), joined, left: await count(db) }
  },
  savepoint: () =>
    db.transaction(async (tx) => {
      await tx.insert(account).values({ id: 20, owner: 'una', balance: '1' })
      const failed = await errorOf(
        tx.transaction((inner) => inner.update(account).set({ balance: '-1' }).where(eq(account.id, 20))),
      )
      await tx.transaction((inner) => inner.update(account).set({ balance: '5' }).where(eq(account.id, 20)))
      const upserted = await tx
        .insert(account)
        .values({ id: 20, owner: 'una', balance: '9' })
        .onConflictDoUpdate({ target: account.id, set: { balance: sql`${account.balance} + 1` } })
        .returning()
      return { code: codeOf(failed), upserted }
    }),
  notice: async () => unsupported('none of its own'),
  listen: async () => unsupported('none of its own'),
  cancel: async () => unsupported('none'),
  error: async () => {
    const failed = await errorOf(db.insert(account).values({ id: 1, owner: 'ann' }))
    return fieldsOf((failed.cause ?? failed) as Record<string, unknown>)
  },
  reconnect: async () => {
    const failed = await errorOf(db.execute(sql`select pg_terminate_backend(pg_backend_pid())`))
    return { code: codeOf(failed), again: (await db.execute(sql`select 1 as n`)).rows }
  },
  'large-object': async () => unsupported('none'),
  catalogue: () => db.query.account.findMany({ orderBy: asc(account.id), limit: 2, offset: 0 }),
})

await pool.end()

async function count(
  own: NodePgDatabase<{ account: typeof account; entry: typeof entry; numbers: typeof numbers }>,
): Promise<number> {
  return own.$count(account, gt(account.id, 9))
}

function codeOf(error: Record<string, unknown>): unknown {
  return ((error.cause ?? error) as Record<string, unknown>).code
}
