/** A real server as judge: it takes whatever is shown in place of its values, in both formats, and means the same by both. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { MaskMethod, Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { formOf } from './forms.ts'
import { createKeyed } from './keyed.ts'
import type { Format } from './kinds.ts'

const keyed = createKeyed(Buffer.alloc(32, 7))
const methods: readonly MaskMethod[] = ['redact', 'partial', 'hash', 'null', 'fake']
const samples: Readonly<Record<string, readonly string[]>> = {
  text: ['someone@example.com', '', "it's", 'grüß Gott 😀'],
  'varchar(5)': ['abcde', 'a'],
  'char(9)': ['abc'],
  name: ['pg_class'],
  '"char"': ['x'],
  xml: ['<a>b</a>'],
  json: ['{"a": [1, "x"]}'],
  jsonb: ['{"a": [1, "x"]}', '7'],
  int2: ['-32768', '32767', '0'],
  int4: ['-2147483648', '2147483647', '123456789', '7'],
  int8: ['-9223372036854775808', '9223372036854775807', '1234'],
  oid: ['4294967295', '1'],
  numeric: ['0', '-0.00010', '123456789012345678901234567890.123456789', 'NaN', 'Infinity', '1e50'],
  'numeric(6,2)': ['1234.50', '-0.01'],
  'numeric(3,3)': ['0.123'],
  float4: ['0.1', '-3.4e38', 'NaN', '0'],
  float8: ['0.1', '1e308', '-Infinity', '123456789.123'],
  bool: ['t', 'f'],
  uuid: ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  bytea: ['\\xdeadbeef', '\\x'],
  date: ['2026-11-26', 'infinity', '0044-03-15 BC'],
  time: ['23:59:59.999'],
  timetz: ['23:59:59+02'],
  timestamp: ['2026-11-26 12:00:00.123', '-infinity'],
  timestamptz: ['2026-11-26 12:00:00+01'],
  interval: ['1 year 2 days 03:04:05'],
  inet: ['10.1.2.3/8', '::1'],
  cidr: ['10.0.0.0/8'],
  macaddr: ['08:00:2b:01:02:03'],
  'text[]': ['{a,"b c",NULL}', '{}'],
  'int4[]': ['{{1,2},{3,4}}'],
  'timestamptz[]': ['{2026-11-26 12:00:00+01}'],
  money: ['12.34'],
  point: ['(1,2)'],
  int4range: ['[1,5)'],
  tsvector: ['a b'],
}
let postgres: Started<Postgres>
let client: pg.Client
before(async () => {
  postgres = await startPostgres({ version: 'embedded' })
  const types = { getTypeParser: () => (value: unknown) => value }
  client = new pg.Client({ connectionString: postgres.value.url, types })
  await client.connect()
})
after(async () => {
  await client?.end()
  await postgres?.stop()
})

test('what is shown is a value of its type, and the same in text and binary', async () => {
  let shown = 0
  for (const [type, values] of Object.entries(samples))
    for (const value of values)
      for (const method of methods) {
        const about = `${method} of ${type} ${value}`
        const [text, binary] = [await masked(type, value, method, 0), await masked(type, value, method, 1)]
        assert.equal(binary === null, text === null, about)
        if (text === null || binary === null) continue
        shown++
        assert.equal(await read(type, binary), await read(type, text.toString()), about)
        if (method !== 'partial' && value.length > 6) assert.notEqual(text.toString(), value, about)
      }
  assert.ok(shown > 150, `only ${shown}`)
})

/** As the server sends it, by the send function of its type where that is binary, and then as it is shown. */
async function masked(
  type: string,
  value: string,
  method: MaskMethod,
  format: Format,
): Promise<Buffer | null> {
  const { rows, fields } = await one(`select $1::${type}`, value)
  const { dataTypeID, dataTypeModifier } = fields[0] as pg.FieldDef
  let bytes = Buffer.from(rows[0]?.[0] as string)
  if (format === 1) {
    const send = await one('select typsend from pg_type where oid = $1::oid', String(dataTypeID))
    const sent = await one(`select encode(${send.rows[0]?.[0]}($1::${type}), 'hex')`, value)
    bytes = Buffer.from(sent.rows[0]?.[0] as string, 'hex')
  }
  const form = formOf({ type: dataTypeID, modifier: dataTypeModifier, format }, { method, keep: 2 }, keyed)
  const to = Buffer.alloc(form.bytesMax(bytes.length))
  const length = form.write(bytes, 0, bytes.length, to, 0)
  assert.ok(length <= to.length)
  return length < 0 ? null : to.subarray(0, length)
}

/** What the server makes of it; node-postgres sends a Buffer as binary. */
async function read(type: string, value: string | Buffer): Promise<string> {
  return (await one(`select ($1::${type})::text`, value)).rows[0]?.[0] as string
}

function one(text: string, value: string | Buffer): Promise<pg.QueryArrayResult<[string]>> {
  return client.query<[string]>({ text, values: [value], rowMode: 'array' })
}
