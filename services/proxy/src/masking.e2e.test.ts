/**
 * Canaries in masked columns, counted on the client's socket: every statement of the lineage's corpus, by every way that a
 * result can take. Those that ask for nothing masked come back as they do directly, byte for byte.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import {
  canaryOf,
  type Form,
  lineageForms,
  lineageSeed,
  maskedColumns,
} from '@portcullis/sql/testing/lineage-corpus'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { cstring, frontend, message } from './protocols/postgres/wire.ts'
import { type Bed, startBed } from './testing/bed.ts'
import { createCanaryWatch } from './testing/canaries.ts'
import { send } from './testing/raw-client.ts'
import { openTapped, type TappedClient } from './testing/tapped-client.ts'

const rows = Number(process.env.CANARIES ?? 50)
const watch = createCanaryWatch(
  Array.from({ length: 2 * rows + 2 }, (_, at) => canaryOf(at)),
  4,
)
const policy = `
rules:
  - { name: all, action: allow }
  - { name: by-redact, match: { subjects: [ann] }, action: mask, mask: { columns: [${maskedColumns}] } }
  - { name: by-refusal, match: { subjects: [ron] }, action: mask, mask: { columns: [${maskedColumns}], lost: refuse } }
  - { name: by-partial, match: { subjects: [pat] }, action: mask, mask: { columns: [${maskedColumns}], method: partial } }
  - { name: by-hash, match: { subjects: [hal] }, action: mask, mask: { columns: [${maskedColumns}], method: hash } }
  - { name: by-null, match: { subjects: [nil] }, action: mask, mask: { columns: [${maskedColumns}], method: 'null' } }
  - { name: by-fake, match: { subjects: [fay] }, action: mask, mask: { columns: [${maskedColumns}], method: fake } }
`
let postgres: Started<Postgres>
let bed: Started<Bed>
before(async () => {
  postgres = await startPostgres({ version: 'embedded', auth: 'password' })
  await postgres.value.query(lineageSeed(rows))
  bed = await startBed({ postgres: postgres.value, policy, catalogueRefreshMs: 60_000 })
})
after(async () => {
  await bed?.stop()
  await postgres?.stop()
})

async function through(subject: string): Promise<TappedClient> {
  const client = await openTapped(bed.value.port, 'shop', subject, postgres.value.database)
  await client.ask([patience], 1)
  return client
}

async function directly(): Promise<TappedClient> {
  const { port, user, password, database } = postgres.value
  const client = await openTapped(port, user, password, database)
  await client.ask([patience], 1)
  return client
}

/** Some forms take the square of the rows. */
const patience = send.query(`set statement_timeout = ${rows > 1000 ? 500 : 3000}`)

/** What is sent at once, each time answered by a ReadyForQuery. */
type Ask = (sql: string) => readonly Buffer[]

const bindAs = (format: number) =>
  message(frontend.bind, cstring(''), cstring(''), Buffer.alloc(4), Buffer.of(0, 1, 0, format))
const extended = (...messages: readonly Buffer[]) => Buffer.concat([...messages, send.sync()])
const copyAs = (options: string): Ask => {
  return (sql) => [send.query(`copy (${sql}) to stdout ${options}`)]
}

/** Of what is one query that returns rows; the first also of everything else. */
const ways: Readonly<Record<string, Ask>> = {
  'simple text': (sql) => [send.query(sql)],
  'extended text': (sql) => [
    extended(send.parse('', sql), bindAs(0), send.describe('P', ''), send.execute('')),
  ],
  // Not described, and in pieces.
  'extended binary': (sql) => [
    extended(send.parse('', sql), bindAs(1), send.execute('', 7), send.execute('')),
  ],
  'copy text': (sql) => [extended(send.parse('', `copy (${sql}) to stdout`), bindAs(0), send.execute(''))],
  'copy csv': copyAs("(format csv, header, delimiter ';')"),
  'copy binary': copyAs('(format binary)'),
  cursor: (sql) => [
    send.query(`declare c scroll cursor for ${sql}`),
    send.query('fetch 2 in c'),
    extended(send.parse('', 'fetch all in c'), bindAs(0), send.execute('')),
  ],
  'binary cursor': (sql) => [send.query(`declare c binary cursor for ${sql}`), send.query('fetch all in c')],
}

/** In a transaction of its own. A cursor must be there before the gate takes its name for it. */
async function run(client: TappedClient, messages: readonly Buffer[]): Promise<Buffer> {
  const [first = begin, ...rest] = messages
  if (rest.length === 0) return client.ask([begin, first, rollback], 3)
  const seen = [await client.ask([begin, first], 2)]
  for (const one of [...rest, rollback]) seen.push(await client.ask([one], 1))
  return Buffer.concat(seen)
}

const begin = send.query('begin')
const rollback = send.query('rollback')

const isQuery = ({ sql }: Form) => /^(select|table|values|with|\()/i.test(sql) && !sql.includes(';')
const asked = ({ sql }: Form) => sql.replaceAll('SELF', () => postgres.value.url)

function* asks(forms: readonly Form[]): Generator<readonly [name: string, readonly Buffer[]]> {
  // What may define something comes last: until the catalogue is read anew, nobody can tell what anything shows.
  for (const form of forms.toSorted((one, other) => Number(isQuery(other)) - Number(isQuery(one))))
    for (const [way, ask] of Object.entries(ways))
      if (way === 'simple text' || isQuery(form)) yield [`${form.name}, ${way}`, ask(asked(form))]
}

test('the first session of all is shown what no rule masks', async () => {
  const client = await through('ann')
  const shown = await client.ask([send.query('select name, ssn from people order by id limit 1')], 1)
  assert.ok(shown.includes('name 1'), 'masked as a whole: nothing was known of the target yet')
  client.end()
})

test('no piece of a canary comes through, whatever is asked and by whatever way', async () => {
  const attacks = lineageForms().filter(({ kind }) => kind === 'attack')
  const [clear, masked] = [await directly(), await through('ann')]
  const leaks: string[] = []
  const shown = new Set<string>()
  for (const [name, ask] of asks(attacks)) {
    if (name.endsWith('simple text') && watch(await run(clear, ask)).length > 0) shown.add(name)
    const seen = watch(await run(masked, ask))
    if (seen.length > 0) leaks.push(`${name}: ${seen.slice(0, 3)}`)
  }
  assert.deepEqual(leaks, [])
  // What shows no canary directly proves nothing, nor does what is refused.
  assert.ok(shown.size > 200, `only ${shown.size} showed canaries directly`)
  const masks = bed.value.commands.filter(({ result }) =>
    result?.masked?.some(({ column, values }) => column === 'public.people.ssn' && values > 0),
  )
  assert.ok(masks.length > 1000, `only ${masks.length} were masked`)
  clear.end()
  masked.end()
})

test('what asks for nothing masked comes back as it does directly, byte for byte', async () => {
  const benign = lineageForms().filter(
    ({ kind, isLost, name }) => kind === 'benign' && !isLost && !differing.has(name),
  )
  const [clear, masked] = [await directly(), await through('ann')]
  const different: string[] = []
  let same = 0
  for (const [name, ask] of asks(benign)) {
    for (let tries = 5; ; tries--) {
      const wanted = await run(clear, ask)
      const seen = await run(masked, ask)
      // Times and processes differ by themselves.
      if (!(await run(clear, ask)).equals(wanted)) break
      if (seen.equals(wanted)) same++
      else if (tries > 0) {
        await new Promise((resolve) => setTimeout(resolve, 200))
        continue
      } else different.push(`${name}\n  ${shownAs(wanted)}\n  ${shownAs(seen)}`)
      break
    }
  }
  assert.deepEqual(different, [], different.join('\n'))
  assert.ok(same > 500, `only ${same}`)
  clear.end()
  masked.end()
})

/** Between two connections. */
const differing = new Set(['activity', 'show all'])
const shownAs = (bytes: Buffer) =>
  bytes
    .toString('latin1')
    .replaceAll(/[^ -~]+/g, ' ')
    .slice(0, 400)

test('each method keeps every canary back, and a hash is the same by whatever way it comes', async () => {
  const queries = [
    'select ssn from people order by id',
    "select concat('a', ssn) as c, ssn from people",
    'table people',
  ]
  for (const subject of ['pat', 'hal', 'nil', 'fay', 'ron']) {
    const client = await through(subject)
    for (const [way, ask] of Object.entries(ways))
      for (const sql of queries) {
        const bytes = await run(client, ask(sql))
        assert.deepEqual(watch(bytes), [], `${subject}, ${way}: ${sql}`)
        assert.ok(!bytes.includes('mask_unavailable'), `${subject}, ${way}: ${sql}\n${shownAs(bytes)}`)
      }
    client.end()
  }
  const client = await through('hal')
  const hashes = async (way: string) => {
    const bytes = await run(client, ways[way]?.('select ssn from people order by id') ?? [])
    return bytes.toString('latin1').match(/[0-9a-f]{32}/g)
  }
  const wanted = await hashes('simple text')
  assert.equal(new Set(wanted).size, rows)
  // Of what a query copies the type is not sure, and a binary value must be of the right one.
  for (const way of Object.keys(ways))
    assert.deepEqual(await hashes(way), way === 'copy binary' ? null : wanted, way)
  const ofTable = await run(client, [send.query('copy people (ssn) to stdout (format binary)')])
  assert.equal(ofTable.toString('latin1').match(/[0-9a-f]{32}/g)?.length, rows)
  client.end()
})

test('by pieces, again, under another name, and by a rule that came after it was prepared', async () => {
  const client = await through('zoe')
  const ask = (readies: number, ...messages: readonly Buffer[]) => client.ask(messages, readies)
  try {
    const prepared = await ask(
      1,
      ...[send.parse('s', 'select ssn, name from people order by id'), send.describe('S', 's')],
      ...[send.bind('p', 's'), send.execute('p', 2), send.sync()],
    )
    assert.ok(watch(prepared).length > 0, 'nothing masks yet')
    const { rule } = bed.value
    rule(policy.replace('subjects: [ann]', 'subjects: [ann, zoe]'))
    const later = [
      await ask(1, send.bind('p', 's'), send.execute('p', 2), send.execute('p', 2), send.sync()),
      await ask(1, send.bind('', 's'), send.describe('P', ''), send.execute(''), send.sync()),
      await ask(2, begin, send.bind('p', 's'), send.execute('p', 3), send.sync()),
      await ask(1, send.execute('p', 1), send.sync()),
      await ask(2, send.execute('p'), send.sync(), rollback),
      await ask(1, send.query('select ssn from people limit 1; select name, ssn from people limit 1')),
      await ask(1, send.query('prepare sql as select ssn from people')),
      await ask(1, send.query('execute sql')),
      await ask(2, begin, send.query('declare h cursor with hold for select ssn from people')),
      await ask(1, send.query('commit')),
      await ask(1, send.query('fetch 3 from h')),
    ]
    for (const bytes of later) assert.deepEqual(watch(bytes), [], shownAs(bytes))
    assert.equal(later[0]?.toString('latin1').match(/\*\*\*/g)?.length, 4)
    assert.ok(later[0]?.includes('name 3') && later[10]?.includes('***'))
  } finally {
    bed.value.rule(policy)
    client.end()
  }
})

test('an error tells its SQLSTATE and names, and no value; what the parser finds it tells in full', async () => {
  const client = await through('ann')
  const ask = async (text: string) => (await client.ask([send.query(text)], 1)).toString('latin1')
  const [first, second] = [canaryOf(1), canaryOf(2)]
  const twice = await ask(`update people set ssn = '${first}' where ssn = '${second}'`)
  assert.match(twice, /C23505/)
  assert.match(twice, /npeople_ssn_key/)
  const cast = await ask('select 1 from people where ssn::int = 1')
  assert.match(cast, /C22P02/)
  for (const text of [twice, cast]) assert.deepEqual(watch(Buffer.from(text)), [], text)
  assert.match(await ask('select ssn from peopel'), /Mrelation "peopel" does not exist/)
  assert.match(await ask('select ssn, from people'), /it cannot be understood, .*reason=mask_unavailable/s)
  client.end()
})

test('a row that is too large to be masked ends the result, and the session goes on', async () => {
  const client = await through('ann')
  const ask = async (text: string) => (await client.ask([send.query(text)], 1)).toString('latin1')
  const cut = await ask("select ssn, repeat('x', 17000000) from people limit 2")
  assert.match(cut, /a row of over 16777216 bytes/)
  assert.ok(cut.length < 10_000)
  assert.match(await ask('select name, ssn from people limit 1'), /name 1.*\*\*\*/s)
  const large = await ask("select name, repeat('x', 17000000) as large from people limit 1")
  assert.ok(large.length > 17_000_000, 'what has nothing to mask passes')
  client.end()
})

test('what is told at a commit of what was stored before is withheld, too', async () => {
  await postgres.value.query(
    'alter table people_base add constraint put_off unique (ssn) deferrable initially deferred',
  )
  const client = await through('ann')
  const insert = (at: number) => `insert into people_base values (${at}, '${canaryOf(1)}')`
  await client.ask([send.query(insert(1))], 1)
  const told = [
    await client.ask([begin, send.query(insert(2)), send.query('commit')], 3),
    await client.ask([send.parse('', insert(3)), send.bind('', ''), send.execute(''), send.sync()], 1),
    await client.ask([send.query(`begin; ${insert(4)}; set constraints all immediate; commit`), rollback], 2),
  ]
  for (const bytes of told) {
    assert.match(bytes.toString('latin1'), /C23505.*nput_off/s)
    assert.deepEqual(watch(bytes), [], shownAs(bytes))
  }
  client.end()
})

test('a rule that only observes says on the event what it would have masked', async () => {
  bed.value.rule(
    policy.replace(
      'rules:',
      'rules:\n  - { name: watched, match: { subjects: [obs] }, observe: true, action: mask, mask: { columns: [ssn] } }',
    ),
  )
  try {
    const client = await through('obs')
    const bytes = await client.ask([send.query('select ssn as watched_by_rule, name from people')], 1)
    assert.ok(watch(bytes).length > 0)
    const [command] = bed.value.of(/watched_by_rule/)
    assert.equal(command?.intent.attributes['mask.observed'], '["public.people.ssn"]')
    assert.equal(command?.result?.masked, undefined)
    client.end()
  } finally {
    bed.value.rule(policy)
  }
})
