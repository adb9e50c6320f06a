/** Live events over a real socket: order, filters, resuming, and what happens to who reads too slowly. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { type Clock, systemClock } from '@portcullis/kernel'
import type { FastifyInstance } from 'fastify'
import type { Credentials } from '../auth.ts'
import { startPureApi, testAuth, tokens } from '../test-pure-api.ts'
import { createFeed, type Feed, type LiveEvent, type LiveType } from './feed.ts'

const feed: Feed = createFeed(50)
let app: FastifyInstance
let url = ''
let expiresAtUs: number | undefined
const open: AbortController[] = []

before(async () => {
  const staticTokens = testAuth()
  const auth = {
    bySession: staticTokens.bySession,
    vouched: staticTokens.vouched,
    authenticate: async (credentials: Credentials) => ({
      ...(await staticTokens.authenticate(credentials)),
      expiresAtUs,
    }),
  }
  const streams = { bufferedBytesMax: 100_000, heartbeatMs: 50, streamsMax: 3, streamsPerCallerMax: 2 }
  app = await startPureApi({ feed, auth, streams, clock: systemClock satisfies Clock })
  url = await app.listen({ host: '127.0.0.1', port: 0 })
})
afterEach(async () => {
  expiresAtUs = undefined
  for (const one of open.splice(0)) one.abort()
  await until(() => feed.subscribers === 0)
})
after(() => app.close())

async function watch(query = '', headers: Record<string, string> = {}) {
  const controller = new AbortController()
  open.push(controller)
  const response = await fetch(`${url}/v1/events${query}`, {
    headers: { authorization: `Bearer ${tokens.viewer}`, ...headers },
    signal: controller.signal,
  })
  const state = { text: '', ended: false, ids: [] as string[] }
  const reading = (async () => {
    let rest = ''
    for await (const chunk of response.body ?? []) {
      const frames = (rest + Buffer.from(chunk).toString()).split('\n\n')
      rest = frames.pop() ?? ''
      for (const frame of frames) {
        state.text += `${frame.slice(0, 200)}\n\n`
        const id = /^id: (.*)$/m.exec(frame)?.[1]
        if (id !== undefined) state.ids.push(id)
      }
    }
    state.ended = true
  })()
  reading.catch(() => undefined)
  return { response, state, ids: () => state.ids }
}

function event(id: string, type: LiveType = 'command', identity = 'i|a', data = `{"n":"${id}"}`): LiveEvent {
  return { id, type, identity, data: () => data }
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'did not happen within 5 s')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('events come as they happen, of the types and the identity asked for, between signs of life', async () => {
  const all = await watch()
  const some = await watch(`?type=finding&type=verdict&identity=${encodeURIComponent('i|a')}`)
  assert.equal(all.response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  feed.publish(event('1'))
  feed.publish(event('2', 'finding'))
  feed.publish(event('3', 'finding', 'i|b'))
  feed.publish(event('4', 'verdict'))
  await until(() => all.ids().length === 4 && some.ids().length === 2)
  assert.deepEqual(all.ids(), ['1', '2', '3', '4'])
  assert.deepEqual(some.ids(), ['2', '4'])
  assert.match(all.state.text, /id: 1\nevent: command\ndata: {"n":"1"}\n\n/)
  await until(() => /: alive\n\n/.test(all.state.text))
})

test('who comes back with Last-Event-ID gets what was missed; where it is forgotten, a gap is told', async () => {
  feed.publish(event('10'))
  feed.publish(event('11'))
  feed.publish(event('12'))
  const back = await watch('', { 'last-event-id': '10' })
  await until(() => back.ids().length === 2)
  assert.deepEqual(back.ids(), ['11', '12'])
  assert.doesNotMatch(back.state.text, /event: gap/)
  const late = await watch('', { 'last-event-id': 'long ago' })
  await until(() => /event: gap/.test(late.state.text))
})

test('who reads too slowly is cut off, and neither memory nor the others suffer', async () => {
  const quick = await watch()
  const { hostname, port } = new URL(url)
  const slow = connect(Number(port), hostname)
  slow.write(`GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${tokens.viewer}\r\n\r\n`)
  await until(() => feed.subscribers === 2)
  slow.pause()
  const big = JSON.stringify('x'.repeat(50_000))
  let sent = 0
  while (feed.subscribers === 2 && sent < 1_000) {
    feed.publish(event(`big${sent++}`, 'command', 'i|a', big))
    await until(() => quick.ids().length === sent)
  }
  assert.ok(sent < 1_000, 'the slow reader was never cut off')
  await until(() => feed.subscribers === 1)
  let text = ''
  slow.on('data', (chunk) => {
    text += chunk
  })
  slow.resume()
  await until(() => /event: overflow/.test(text))
  slow.destroy()
})

test('a stream ends with its token', async () => {
  expiresAtUs = systemClock.nowUs() + 100_000
  const stream = await watch()
  await until(() => stream.state.ended)
  assert.match(stream.state.text, /event: expired/)
})

test('beyond the number of streams allowed, of one caller and in all: 503 with Retry-After', async () => {
  const refused = async (token: string, why: RegExp) => {
    const response = await fetch(`${url}/v1/events`, { headers: { authorization: `Bearer ${token}` } })
    assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '10'])
    assert.match(await response.text(), why)
  }
  await watch()
  await watch()
  await refused(tokens.viewer, /You have 2 live streams open: close one/)
  await watch('', { authorization: `Bearer ${tokens.responder}` })
  await refused(tokens.admin, /Too many live streams/)
  open[0]?.abort()
  await until(() => feed.subscribers === 2)
  assert.equal((await watch()).response.status, 200, 'one that was closed makes room')
})

test('what is no HTTP gets a problem too', async () => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.write('nonsense\r\n\r\n')
  await until(() => text.includes('urn:portcullis:problem:invalid_request'))
  socket.destroy()
})

test('a stop tells every stream and does not wait for them', async () => {
  const own = await startPureApi({ streams: { heartbeatMs: 50 } })
  const at = await own.listen({ host: '127.0.0.1', port: 0 })
  const response = await fetch(`${at}/v1/events`, { headers: { authorization: `Bearer ${tokens.viewer}` } })
  const text = response.text()
  const started = performance.now()
  await own.close()
  assert.ok(performance.now() - started < 2_000)
  assert.match(await text, /event: stopping/)
})
