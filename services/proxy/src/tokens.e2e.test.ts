/**
 * Traded tokens, API keys and revocation through real processes: API, bus, two proxies, real psql. Whatever is revoked or
 * disabled must have its open sessions cut within 2 s, at both proxies.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { allFiles } from '@portcullis/testkit/all-files'
import { findPsql, type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import { callApi, trade } from '@portcullis/testkit/trading'

const cutMsMax = 2000
/** Every key and token that was used. */
const given: string[] = []
let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  postgres = await startPostgres({ auth: 'scram-sha-256' })
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy', 'query-api', 'projector'],
    targets: ['orders'],
    proxies: ['gate-2'],
  })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
})

interface Psql {
  readonly child: ChildProcess
  readonly done: Promise<{ readonly code: number | null; readonly out: string; readonly err: string }>
}

function psql(target: string, token: string, sql: string, proxy?: string): Psql {
  const secret = token.split('.').at(-1) ?? token
  if (secret.length >= 40) given.push(secret)
  const at = `host=127.0.0.1 port=${system.value.port(proxy)} dbname=postgres sslmode=disable`
  const args = [`${at} user=${target}`, '-XAtq', '-v', 'VERBOSITY=verbose', '-c', sql]
  const child = spawn(findPsql() ?? 'psql', args, {
    env: { ...process.env, PGPASSWORD: token },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [out, err] = ['', '']
  child.stdout?.on('data', (data) => {
    out += data
  })
  child.stderr?.on('data', (data) => {
    err += data
  })
  const done = new Promise<Awaited<Psql['done']>>((resolve) =>
    child.once('close', (code) => resolve({ code, out, err })),
  )
  return { child, done }
}

/** Sessions that have a statement running at the server, at each of the two proxies. */
async function busyAtBoth(token: string): Promise<Psql[]> {
  const mark = randomBytes(4).toString('hex')
  const both = ['gate-1', 'gate-2'].map((proxy) =>
    psql('shop', token, `select pg_sleep(60) /* ${mark} */`, proxy),
  )
  const running = `select count(*)::int as n from pg_stat_activity where state = 'active' and query like '%${mark}%' and pid <> pg_backend_pid()`
  for (let tries = 0; tries < 200; tries++) {
    const { rows } = await postgres.value.query(running)
    if (rows[0]?.n === 2) return both
    await sleep(25)
  }
  const ended = await Promise.race([...both.map(({ done }) => done), sleep(10)])
  throw new Error(`the sessions do not run: ${JSON.stringify(ended)}`)
}

async function assertCut(sessions: readonly Psql[], since: number, reason: RegExp): Promise<void> {
  const ends = await Promise.all(
    sessions.map(async ({ done, child }) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      const ended = await done
      clearTimeout(timer)
      return { ...ended, ms: performance.now() - since }
    }),
  )
  for (const { err, ms } of ends) {
    assert.match(err, reason)
    assert.ok(ms < cutMsMax, `cut after ${Math.round(ms)} ms`)
  }
}

async function refusedReason(target: string, token: string): Promise<string> {
  const { code, err } = await psql(target, token, 'select 1').done
  assert.equal(code, 2, err)
  const [, decision = ''] = /decision=([0-9A-Z]{26})/.exec(err) ?? []
  assert.match(err, /FATAL: {2}portcullis: not authorised/)
  for (let tries = 0; tries < 200; tries++) {
    const { items } = await callApi<{ items: { detail: string; phase: string }[] }>(
      system.value,
      'GET',
      `/v1/sessions?decision=${decision}`,
    )
    if (items[0]) return items[0].detail
    await sleep(50)
  }
  throw new Error(`no session of decision ${decision} came into the trail`)
}

const jwtOf = (claims: object) => system.value.issuer.sign({ sub: 'ci', groups: ['agents'], ...claims })

test('a CI token is traded for one of a single target, which psql uses; elsewhere it is refused with its reason', async () => {
  const parent = await jwtOf({ jti: 'job-1' })
  const token = await trade(system.value, parent, { scope: 'target:shop', task: 'nightly report' })
  const { out, err } = await psql('shop', token, 'select 6 * 7 as "nightly"').done
  assert.equal(out, '42\n', err)
  assert.match(await refusedReason('orders', token), /good for target \[shop\] only, not for "orders"/)
  assert.equal((await psql('orders', parent, 'select 1').done).out, '1\n', 'its parent may')
  type Command = { task: string; ancestors: string[]; identity: string; instance: string; text: string }
  const seen = async () =>
    (
      await callApi<{ items: Command[] }>(system.value, 'GET', '/v1/commands?text=nightly&limit=5')
    ).items.find(({ text }) => text.includes('6 * 7'))
  let command = await seen()
  for (let tries = 0; tries < 200 && !command; tries++) {
    await sleep(50)
    command = await seen()
  }
  assert.equal(command?.task, 'nightly report')
  assert.deepEqual(command?.ancestors, [`${system.value.issuer.issuer} job-1`])
  assert.equal(command?.identity, `${system.value.issuer.issuer}|ci`)
  const line = system.value
    .log()
    .split('\n')
    .find((text) => text.includes('"token issued"') && text.includes(`"instance":"${command?.instance}"`))
  assert.ok(line?.includes(`"ancestors":["${system.value.issuer.issuer} job-1"]`), 'the log has its issuance')
})

test('revoke the parent: sessions of its grandchild are cut at both proxies within 2 s, and it signs in no more', async () => {
  const parent = await jwtOf({ jti: 'job-2' })
  const child = await trade(system.value, parent, { scope: 'target:shop target:orders' })
  const grandchild = await trade(system.value, child, { scope: 'target:shop' })
  const sessions = await busyAtBoth(grandchild)
  const bystander = await psql('shop', await jwtOf({ jti: 'job-3' }), 'select 1').done
  assert.equal(bystander.out, '1\n')
  const since = performance.now()
  await callApi(system.value, 'POST', '/v1/revocations', {
    subject: { kind: 'token', issuer: system.value.issuer.issuer, instance: 'job-2' },
    reason: 'it leaked',
  })
  await assertCut(sessions, since, /57P01.*session ended by a verdict/)
  const again = await psql('shop', grandchild, 'select 1').done
  assert.match(again.err, /session ended by a verdict/)
  const sibling = await psql('shop', await jwtOf({ jti: 'job-3' }), 'select 1').done
  assert.equal(sibling.out, '1\n', 'another token of the same identity goes on')
})

test('a kill on who sent an agent, no revocation: its sessions on their behalf are cut at both proxies within 2 s', async () => {
  const { issuer } = system.value.issuer
  const agent = await jwtOf({ sub: 'agent-9' })
  const child = await trade(system.value, await jwtOf({ sub: 'bea' }), {
    actor_token: agent,
    actor_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  })
  const sessions = await busyAtBoth(child)
  const since = performance.now()
  await callApi(system.value, 'POST', '/v1/verdicts', {
    ...{ action: 'kill', durationSec: 600, explanation: 'taken over' },
    subject: { kind: 'identity', issuer, id: 'bea' },
  })
  await assertCut(sessions, since, /57P01.*session ended by a verdict/)
  assert.match((await psql('shop', child, 'select 1').done).err, /session ended by a verdict/)
  assert.equal((await psql('shop', agent, 'select 1').done).out, '1\n', 'for itself it works on')
})

test('a disabled API key: its sessions and those of its children are cut, the next login is refused with its reason', async () => {
  const made = await callApi<{ key: string; keyId: string }>(system.value, 'POST', '/v1/api-keys', {
    ...{ subject: 'backup', groups: ['agents'], targets: ['shop'], networks: ['127.0.0.0/8'], lifeSec: 3600 },
  })
  assert.equal((await psql('shop', made.key, 'select 1').done).out, '1\n')
  assert.match(await refusedReason('orders', made.key), /good for target \[shop\] only/)
  const child = await trade(system.value, made.key)
  const sessions = [...(await busyAtBoth(made.key)), ...(await busyAtBoth(child))]
  const since = performance.now()
  await callApi(system.value, 'POST', `/v1/api-keys/${made.keyId}/disable`, { reason: 'found in a log' })
  await assertCut(sessions, since, /57P01.*the key it was opened with was withdrawn/)
  assert.match(await refusedReason('shop', made.key), /disabled: API key pck_[0-9a-f]{16} is disabled/)
  assert.match(
    await refusedReason('shop', child),
    /disabled: API key pck_[0-9a-f]{16} is disabled or deleted/,
  )
  const { items } = await callApi<{ items: { keyId: string; lastUsedAt: string | null }[] }>(
    system.value,
    'GET',
    '/v1/api-keys',
  )
  const listed = items.find(({ keyId }) => keyId === made.keyId)
  assert.ok(Date.now() - Date.parse(listed?.lastUsedAt ?? '') < 60_000, JSON.stringify(listed))
  await callApi(system.value, 'POST', `/v1/api-keys/${made.keyId}/enable`, { reason: 'false alarm' })
  for (let tries = 0; ; tries++) {
    const { out, err } = await psql('shop', made.key, 'select 1').done
    if (out === '1\n') break
    assert.ok(tries < 40, err)
    await sleep(50)
  }
})

test('forged, mended and foreign tokens are refused, each with its reason in the trail', async () => {
  const token = await trade(system.value, await jwtOf({}))
  const [header = '', payload = ''] = token.split('.')
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const open = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
  const keys = (await (await fetch(`${system.value.apiUrl}/v1/jwks.json`)).json()) as {
    keys: { x: string }[]
  }
  const hmac = (text: string) =>
    createHmac('sha256', Buffer.from(keys.keys[0]?.x ?? '', 'base64url'))
      .update(text)
      .digest('base64url')
  const confused = `${encode({ ...open(header), alg: 'HS256' })}.${payload}`
  const cases: readonly [string, RegExp][] = [
    [
      `${header}.${encode({ ...open(payload), groups: ['agents', 'admins'] })}.${token.split('.')[2]}`,
      /bad_signature/,
    ],
    [`${encode({ ...open(header), alg: 'none' })}.${payload}.x`, /algorithm/],
    [`${confused}.${hmac(confused)}`, /algorithm/],
    [`${header}.${payload}.${randomBytes(64).toString('base64url')}`, /bad_signature/],
    [`pck_${randomBytes(8).toString('hex')}_${'A'.repeat(49)}`, /malformed/],
    [await system.value.issuer.sign({ sub: 'ci', groups: ['agents'], aud: 'elsewhere' }), /wrong_audience/],
    [await system.value.issuer.sign({ sub: 'ci', groups: ['agents'] }, { ttlSec: -3600 }), /expired/],
  ]
  for (const [forged, reason] of cases) assert.match(await refusedReason('shop', forged), reason)
  assert.equal((await psql('shop', token, 'select 1').done).out, '1\n')
})

test('a signing key that leaked is retired: what it signed signs in no more, what the next one signs does', async () => {
  const before = await trade(system.value, await jwtOf({}))
  assert.equal((await psql('shop', before, 'select 1').done).out, '1\n')
  await callApi(system.value, 'POST', '/v1/signing-keys/rotate', { reason: 'leaked', retireNow: true })
  const since = performance.now()
  while ((await psql('shop', before, 'select 1').done).code === 0)
    assert.ok(performance.now() - since < cutMsMax, 'it still signs in')
  assert.match(await refusedReason('shop', before), /unknown_key/)
  const next = await trade(system.value, await jwtOf({}))
  for (const proxy of ['gate-1', 'gate-2'])
    assert.equal((await psql('shop', next, 'select 1', proxy).done).out, '1\n')
})

test('no secret of ours stands in any file: no API key, no token, no private half; neither in the log, nor on the bus', async () => {
  assert.ok(given.length > 5)
  // The engine writes its tables compressed: what it answers is looked at besides.
  const told = await Promise.all(
    ['control-events?limit=200', 'sessions?limit=200', 'commands?limit=200', 'api-keys', 'signing-keys'].map(
      async (list) => JSON.stringify(await callApi(system.value, 'GET', `/v1/${list}`)),
    ),
  )
  const files = allFiles(system.value.dir)
  assert.ok(files.some(({ file }) => file.endsWith('/data.mdb')) && files.length > 10)
  const texts = [...told, ...files.map(({ text }) => text)]
  for (const text of texts) {
    for (const secret of given) assert.ok(!text.includes(secret), `${secret.slice(0, 12)}… was found`)
    assert.doesNotMatch(text, /-----BEGIN PRIVATE KEY-----|MC4CAQAwBQYDK2VwBCIEI/)
  }
})
