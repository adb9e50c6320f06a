/** The same for every program of this folder: where to connect, and a line of JSON for each work. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Work } from '../../works.ts'

export const target = {
  host: need('CLIENT_HOST'),
  port: Number(need('CLIENT_PORT')),
  user: need('CLIENT_USER'),
  password: need('CLIENT_PASSWORD'),
  database: need('CLIENT_DATABASE'),
}

export const ca = readFileSync(need('CLIENT_CA'), 'utf8')

class Unsupported extends Error {}

/** Ends a work: the client has no such thing. */
export function unsupported(why: string): never {
  throw new Unsupported(why)
}

/** Runs each in order, whatever became of the one before. */
export async function run(all: Record<Work, () => Promise<unknown>>): Promise<void> {
  for (const [work, perform] of Object.entries(all)) {
    const answer = await perform().then(
      (value) => ({ work, value }),
      (error: Error) =>
        error instanceof Unsupported
          ? { work, unsupported: error.message }
          : { work, failed: error.stack ?? String(error) },
    )
    process.stdout.write(`${JSON.stringify(answer, plain)}\n`)
  }
}

/** Awaits an error and returns it; anything else is a failure of the work. */
export async function errorOf(promise: Promise<unknown>): Promise<Record<string, unknown>> {
  try {
    await promise
  } catch (error) {
    return error as Record<string, unknown>
  }
  throw new Error('an error was expected')
}

/** The fields of an ErrorResponse that are the same on every run. */
export function fieldsOf(error: Record<string, unknown>): Record<string, unknown> {
  const names = ['severity', 'code', 'message', 'detail', 'hint', 'position', 'where']
  const more = ['schema', 'schema_name', 'table', 'table_name', 'column', 'column_name', 'constraint']
  return Object.fromEntries(
    [...names, ...more, 'constraint_name', 'dataType', 'routine'].map((name) => [name, error[name] ?? null]),
  )
}

/** A digest of many rows, so that a report stays small. */
export function digest(): { add(piece: string | Uint8Array): void; hex(): string } {
  const hash = createHash('sha256')
  return { add: (piece) => void hash.update(piece), hex: () => hash.digest('hex') }
}

export const typesQuery = `select
  $1::int2 a, $2::int4 b, $3::int8 c, $4::float4 d, $5::float8 e, $6::numeric f, $7::text g, $8::varchar h, $9::bool i,
  $10::bytea j, $11::date k, $12::time l, $13::timestamp m, $14::timestamptz n, $15::interval o, $16::uuid p,
  $17::jsonb q, $18::json r, $19::inet s, $20::int[] t, $21::text[] u, $22::text v, $23::int4range w, $24::work.mood x`

export const typesValues = [
  -32_768,
  2_147_483_647,
  '-9223372036854775808',
  1.5,
  1e-300,
  '12345678901234567890.123456789',
  'Grüße \u{1F600} \\ \' " $1',
  'varchar',
  true,
  Buffer.from([0, 1, 255, 39, 92]),
  '2026-02-28',
  '23:59:59.999999',
  '2026-02-28 12:00:00.123456',
  '2026-02-28T12:00:00.123456Z',
  '1 year 2 mons 3 days 04:05:06.789',
  '6f9619ff-8b86-d011-b42d-00c04fc964ff',
  '{"a": [1, null, "x"]}',
  '{"b":  2}',
  '10.1.2.3/24',
  [1, 2, null],
  ['a', 'b,c', 'd"e', null],
  null,
  '[1,10)',
  'happy',
]

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return value
}

function need(name: string): string {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is not set`)
  return value
}
