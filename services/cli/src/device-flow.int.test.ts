/** The device flow against a server that keeps RFC 8628 to the letter, with a clock of the test's own. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { connectApi } from './api.ts'
import { signInByDevice } from './device-flow.ts'
import { CliError } from './errors.ts'
import { type GateServer, type GateServerOptions, startGateServer } from './testing/gate-server.ts'

async function begin(t: TestContext, options: GateServerOptions = {}) {
  let nowMs = 1_000_000
  const { value: server, stop } = await startGateServer({ intervalSec: 5, nowMs: () => nowMs, ...options })
  t.after(stop)
  const waits: number[] = []
  /** `onWait` is what happens while it waits, by how often it has. */
  const signIn = (onWait: (count: number, server: GateServer) => void) =>
    signInByDevice({
      api: connectApi(server.url),
      nowMs: () => nowMs,
      async sleep(ms) {
        waits.push(ms)
        nowMs += ms
        onWait(waits.length, server)
      },
      show: () => undefined,
    })
  return { server, waits, signIn }
}

const says = (server: GateServer, answer: 'yes' | 'no') => server.answer(server.userCodes[0] ?? '', answer)

function fails(code: string, why: RegExp) {
  return (error: unknown) => error instanceof CliError && error.code === code && why.test(error.message)
}

test('it polls at the interval it is told, never sooner, until the person says yes', async (t) => {
  const { server, waits, signIn } = await begin(t, { intervalSec: 7 })
  const granted = await signIn((count) => {
    if (count === 3) says(server, 'yes')
  })
  assert.deepEqual(granted, { token: 'the-token-of-ann', expiresInSec: 600 })
  assert.deepEqual(waits, [7000, 7000, 7000])
  assert.equal(server.tooSoon(), 0)
})

test('where no interval is named it is 5 seconds, and slow_down adds 5 for good', async (t) => {
  const { server, waits, signIn } = await begin(t)
  server.device = { interval: undefined }
  await signIn((count) => {
    if (count === 1) server.reply.set('POST /v1/token', { status: 400, body: '{"error":"slow_down"}' })
    if (count === 2) server.reply.clear()
    if (count === 3) says(server, 'yes')
  })
  assert.deepEqual(waits, [5000, 10_000, 10_000])
})

test('nobody answers for a moment: it backs off, and goes on', async (t) => {
  const { server, waits, signIn } = await begin(t)
  await signIn((count) => {
    if (count === 1) server.hangUp(2)
    if (count === 4) says(server, 'yes')
  })
  assert.deepEqual(waits, [5000, 10_000, 20_000, 20_000])
})

test('no, too late, and what is no device flow, each in its own words', async (t) => {
  const no = await begin(t)
  await assert.rejects(
    no.signIn(() => says(no.server, 'no')),
    fails('refused', /was refused/),
  )
  const late = await begin(t, { expiresInSec: 12 })
  await assert.rejects(
    late.signIn(() => undefined),
    fails('refused', /before the code ended/),
  )
  assert.deepEqual(late.waits, [5000, 5000, 5000])
  const overThere = await begin(t, { expiresInSec: 12 })
  overThere.server.device = { expires_in: 600 }
  await assert.rejects(
    overThere.signIn(() => undefined),
    fails('refused', /before the code ended/),
  )
  const none = await begin(t)
  none.server.reply.set('POST /v1/device-authorization', { status: 404, body: '{"detail":"No such path"}' })
  await assert.rejects(
    none.signIn(() => undefined),
    fails('not_offered', /No such path/),
  )
  const odd = await begin(t)
  odd.server.device = { verification_uri: 'file:///etc/passwd' }
  await assert.rejects(
    odd.signIn(() => undefined),
    fails('unreachable', /no device code/),
  )
})
