import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started, TargetAccess } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { createUpstreams } from './orphan-check.ts'
import { openUpstream } from './hosts.ts'
import { UpstreamError } from './upstream-error.ts'
import { cstring, frontend, message } from './wire.ts'

let postgres: Started<Postgres>
before(async () => {
  postgres = await startPostgres()
})
after(() => postgres.stop())

function access(): TargetAccess {
  const { host, port, user, password, database } = postgres.value
  return {
    name: 'shop',
    hosts: [{ host, port }],
    sessionAttrs: 'any',
    loadBalance: 'disable',
    database,
    tls: { mode: 'disable' },
    credentials: { user, password },
    connectTimeoutMs: 5000,
    keepalive: { idleSec: 30, intervalSec: 1, count: 10 },
    timeouts: {},
  }
}

test('a backend that computes is gone within a second of a connection that is simply cut', async () => {
  const upstream = await createUpstreams(openUpstream)(access(), {})
  upstream.source.socket.write(message(frontend.query, cstring('select pg_sleep(20)')))
  const busy = async () => {
    const { rows } = await postgres.value.query(
      "select count(*)::int as n from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'",
    )
    return (rows[0] as { n: number }).n
  }
  while ((await busy()) === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  const since = performance.now()
  upstream.source.socket.destroy()
  while ((await busy()) > 0) {
    assert.ok(performance.now() - since < 1500, 'the backend goes on')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
})

test('a server that does not know the setting is asked once', async () => {
  const asked: boolean[] = []
  const open = createUpstreams((target, parameters) => {
    const isAsked = 'client_connection_check_interval' in parameters
    asked.push(isAsked)
    if (!isAsked) return openUpstream(target, parameters)
    const cause = new Error('42704: unrecognized configuration parameter "client_connection_check_interval"')
    return Promise.reject(new UpstreamError('refused', 'refused', '42704', { cause }))
  })
  for (let n = 0; n < 2; n++) (await open(access(), {})).source.socket.destroy()
  assert.deepEqual(asked, [true, false, false])
})
