/**
 * Configuration by the API through real processes: a target, its sealed password and an issuer come, change and go while
 * sessions run, with no restart; a proxy that starts without a bus serves what it knew. Each password is a canary, searched
 * for at the end in all that was written anywhere, answered by the API, or sent to any client.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { allFiles } from '@portcullis/testkit/all-files'
import { allTables } from '@portcullis/testkit/all-tables'
import { heapEnvironment, heapText } from '@portcullis/testkit/heap-text'
import { until } from '@portcullis/testkit/chaos/settle'
import { findPsql, type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import { trade } from '@portcullis/testkit/trading'
import pg from 'pg'

const marker = 'marker-9d2e'
const passwords = ['Canary-sealed-1a', 'Canary-sealed-2b', 'Canary-sealed-3c']
const masterKey = randomBytes(32).toString('base64')
const heaps = mkdtempSync(join(tmpdir(), 'portcullis-heap-'))
let postgres: Started<Postgres>
let system: Started<System>
let ci: Started<TestIssuer>
let open: pg.Client
/** What clients and administrators got to see. */
const seen: string[] = []

before(async () => {
  postgres = await startPostgres({ auth: 'scram-sha-256' })
  ci = await startTestIssuer()
  await postgres.value.query(`create role canary_billing login password '${passwords[0]}'`)
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy', 'projector', 'query-api'],
    env: { SEALING_KEY: masterKey, ...heapEnvironment(heaps) },
    extra: { secrets: "sealing: { keys: [{ id: one, key: 'env:SEALING_KEY' }] }" },
  })
  open = await client('shop', await system.value.token('ann'))
})
after(async () => {
  await open?.end().catch(() => undefined)
  await system?.stop()
  await ci?.stop()
  await postgres?.stop()
  rmSync(heaps, { recursive: true, force: true })
})

async function client(user: string, password: string): Promise<pg.Client> {
  const { value } = system
  const one = new pg.Client({ host: '127.0.0.1', port: value.port(), user, password, database: 'postgres' })
  one.on('error', (error) => void seen.push(String(error)))
  await one.connect()
  return one
}

async function api(method: 'GET' | 'PUT' | 'DELETE', path: string, body?: object) {
  const answer = await fetch(`${system.value.apiUrl}/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${system.value.apiToken}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  seen.push(text)
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
  return JSON.parse(text)
}

/** With the real client; its output, or what it was refused with. */
async function psql(target: string, token: string): Promise<string> {
  const at = `host=127.0.0.1 port=${system.value.port()} dbname=postgres sslmode=disable user=${target}`
  const args = [at, '-XAtq', '-v', 'VERBOSITY=verbose', '-c', `select '${marker}', session_user`]
  const env = { ...process.env, PGPASSWORD: token }
  const output = await new Promise<string>((resolve) => {
    execFile(findPsql() ?? 'psql', args, { env }, (_, out, err) => resolve(out + err))
  })
  seen.push(output)
  return output
}

/** Milliseconds until psql gets this answer. */
async function untilPsql(target: string, expected: RegExp, token?: string): Promise<number> {
  const startMs = performance.now()
  const proof = token ?? (await system.value.token('ann'))
  let last = ''
  await until(`${target}: ${expected}`, 10_000, async () => {
    last = await psql(target, proof)
    return expected.test(last)
  }).catch((cause) => assert.fail(`${cause}: ${last}`))
  return Math.round(performance.now() - startMs)
}

const billing = (more: object = {}) => ({
  protocol: 'postgres',
  address: `${postgres.value.host}:${postgres.value.port}`,
  database: 'postgres',
  tls: { mode: 'disable' },
  credentials: { user: 'canary_billing', password: 'sealed:billing-password' },
  groups: ['agents'],
  ...more,
})
const works = /^marker-9d2e\|canary_billing/
const children = () => system.value.childrenOf('proxy', 'worker.ts').join()

test('a target that the API makes is served while sessions run, with its sealed password', async (t) => {
  const workers = children()
  assert.match(await psql('billing', await system.value.token('ann')), /28000|not authorised/)
  await api('PUT', 'secrets/billing-password', { value: passwords[0], addresses: [billing().address] })
  await api('PUT', 'config/targets/billing', billing())
  t.diagnostic(`served ${await untilPsql('billing', works)} ms after the API had answered`)
  assert.equal((await open.query('select 1 as one')).rows[0].one, 1)
  assert.equal(children(), workers, 'no worker was replaced')
})

test('a password that is rotated at the target and by the API is used by the next session', async () => {
  const workers = children()
  const lives = await client('billing', await system.value.token('ann'))
  await postgres.value.query(`alter role canary_billing password '${passwords[1]}'`)
  await api('PUT', 'secrets/billing-password', { value: passwords[1] })
  await untilPsql('billing', works)
  assert.equal((await lives.query('select session_user')).rows[0].session_user, 'canary_billing')
  await lives.end()
  assert.equal(children(), workers)
})

test('the agent is killed: the workers serve on, and hear of what comes after from its successor', async () => {
  const [agent] = system.value.childrenOf('proxy', 'agent/main.ts')
  assert.ok(agent)
  process.kill(agent, 'SIGKILL')
  await untilPsql('billing', works)
  await api('PUT', 'config/targets/billing', billing({ groups: ['nobody'] }))
  await untilPsql('billing', /not authorised/)
  await api('PUT', 'config/targets/billing', billing())
  await untilPsql('billing', works)
})

test('a policy by the API holds open sessions from their next command on, and goes as it came', async () => {
  const workers = children()
  const refusedBy = (rule: string) => async () =>
    open.query('create table if not exists by_policy (a int)').then(
      () => rule === '',
      ({ detail = '' }: { detail?: string }) => rule !== '' && detail.endsWith(`rule=${rule}`),
    )
  const text = `rules:
  - { name: no-tables, match: { targets: [shop] }, when: '"define" in command.effects', action: block }
  - { name: rest, action: allow }
`
  await api('PUT', 'config/policies/shop', { text })
  await until('the open session to be held to it', 10_000, refusedBy('shop/no-tables'))
  assert.equal((await open.query('select 1 as one')).rows[0].one, 1)
  const { version } = await api('GET', 'policy')
  await until('the refusal in the trail, with that version', 20_000, async () => {
    const { items } = await api('GET', 'commands?outcome=refused&limit=10')
    return items.some(
      ({ decision }: { decision: { rule: string; policyVersion: string } }) =>
        decision.rule === 'shop/no-tables' && decision.policyVersion.endsWith(`.${version}`),
    )
  })
  await api('DELETE', 'config/policies/shop?open=true')
  await until('what was refused to pass', 10_000, refusedBy(''))
  assert.equal(children(), workers)
})

test('an issuer by the API: its sessions end with it, and so do those of what was traded from its tokens', async () => {
  const path = `config/issuers/${encodeURIComponent(ci.value.issuer)}`
  const token = await ci.value.sign({ sub: 'job', groups: ['agents'] }, { ttlSec: 600 })
  assert.match(await psql('billing', token), /not authorised/)
  await api('PUT', path, { audience: ['portcullis'] })
  await untilPsql('billing', works, token)
  const child = await trade(system.value, token, { scope: 'target:billing' })
  const sessions = [await client('billing', token), await client('billing', child)]
  const ended = sessions.map(
    (session) => new Promise<Error & { detail?: string }>((resolve) => session.on('error', resolve)),
  )
  await api('DELETE', `${path}?reason=leaked`)
  for (const error of await Promise.all(ended)) assert.match(error.detail ?? '', /credential_withdrawn/)
  await untilPsql('billing', /not authorised/, token)
  await untilPsql('billing', /not authorised/, child)
  assert.equal((await open.query('select 1 as one')).rows[0].one, 1, 'others live on')
})

test('a target that is removed opens no new session; the open one lives on', async () => {
  const lives = await client('billing', await system.value.token('ann'))
  await api('DELETE', 'config/targets/billing?reason=moved')
  await untilPsql('billing', /not authorised/)
  assert.equal((await lives.query('select 1 as one')).rows[0].one, 1)
  await lives.end()
})

test('who changed what when, and which version of the configuration each session was held to', async () => {
  let events: { type: string; actor: { subject: string }; accepted: boolean }[] = []
  await until('the changes in the trail', 20_000, async () => {
    events = (await api('GET', 'control-events?aggregate=target/billing')).items
    return events.length >= 4
  })
  assert.deepEqual(
    events.map(({ type, actor, accepted }) => [type, actor.subject, accepted]),
    [['target.removed', 'test', true], ...Array.from({ length: 3 }, () => ['target.put', 'test', true])],
  )
  let versions = new Set<string>()
  await until('the sessions in the trail', 20_000, async () => {
    const { items } = await api('GET', 'sessions?limit=200')
    versions = new Set(
      items.map(({ decision }: { decision: { policyVersion: string } }) => decision.policyVersion),
    )
    return versions.size >= 3
  })
})

test('a proxy that starts without a bus serves what it knew: the target of the API, and its sealed password', async (t) => {
  await api('PUT', 'config/targets/billing', billing())
  await untilPsql('billing', works)
  await postgres.value.query(`alter role canary_billing password '${passwords[2]}'`)
  await api('PUT', 'secrets/billing-password', { value: passwords[2] })
  await untilPsql('billing', works)
  // What is known is stored soon after it is in force.
  const stored = join(system.value.dir, 'data/proxy/gate-1/control/holdings.json')
  const [{ version }] = (await api('GET', 'secrets')).items
  await until('the holdings to be stored', 5000, () =>
    readFileSync(stored, 'utf8').includes(`"version":${version},`),
  )
  const file = join(system.value.dir, 'gate-1.yaml')
  const text = readFileSync(file, 'utf8')
  // Nobody listens there.
  writeFileSync(file, text.replace('lmdb:./bus', 'kafka://127.0.0.1:1'))
  const startMs = performance.now()
  await system.value.kill9('proxy:gate-1')
  t.diagnostic(`started without a bus in ${Math.round(performance.now() - startMs)} ms`)
  await untilPsql('billing', works)
  writeFileSync(file, text)
  await system.value.kill9('proxy:gate-1')
  await untilPsql('billing', works)
})

test('no canary and no master key is anywhere', async () => {
  await system.value.stopPart('proxy:gate-1')
  await api('GET', 'secrets')
  for (const what of ['sessions', 'commands', 'control-events']) await api('GET', `${what}?limit=500`)
  assert.ok(system.value.engine)
  const heap = await heapText(system.value.pid('query-api'), heaps)
  const haystacks = [
    ...allFiles(system.value.dir),
    ...(await allTables(system.value.engine)),
    { file: 'what was answered', text: seen.join('\n') },
  ]
  const holding = (needle: string) =>
    haystacks.filter(({ text }) => text.includes(needle)).map(({ file }) => file)
  // They would be found: the text of a query is in the events, and its answer was seen.
  assert.ok(holding(marker).some((file) => /data\.mdb|seg-/.test(file)))
  for (const place of ['what was answered', 'table commands_log'])
    assert.ok(holding(marker).includes(place), place)
  assert.ok(holding('billing-password').includes('table control_events_log'))
  assert.deepEqual(holding('Canary-'), [])
  for (const spelled of passwords.map((one) => Buffer.from(one).toString('base64').slice(0, -3)))
    assert.deepEqual(holding(spelled), [])
  assert.deepEqual(holding(masterKey), [])
  // The API sealed them, and kept none of them: what else it was asked for it still has.
  assert.ok(heap.text.includes('billing-password'))
  assert.ok(!heap.text.includes('Canary-'), 'the API keeps a password')
})
