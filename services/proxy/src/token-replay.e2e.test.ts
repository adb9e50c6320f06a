/**
 * One token used from two addresses, through real processes: two proxies of two workers each, analyzer, bus, API, with
 * clients on 127.0.0.1 and 127.0.0.2. Where it is configured so the second is refused at the same replica whichever worker
 * it meets, and the token is stopped everywhere when the two addresses were at two replicas.
 */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import { callApi, trade } from '@portcullis/testkit/trading'
import pg from 'pg'

let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  postgres = await startPostgres({ auth: 'scram-sha-256' })
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy', 'analyzer', 'projector', 'query-api'],
    proxies: ['gate-2'],
    extra: { identity: 'replay: refuse' },
  })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
})

async function open(token: string, localAddress: string, proxy?: string): Promise<pg.Client> {
  const port = system.value.port(proxy)
  const client = new pg.Client({
    ...{ user: 'shop', password: token, database: postgres.value.database, port },
    // The driver connects it itself, too: to the same.
    stream: () => {
      const socket = connect({ host: '127.0.0.1', port, localAddress })
      socket.connect = () => socket
      return socket
    },
  })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function use(token: string, localAddress: string, proxy?: string): Promise<void> {
  const client = await open(token, localAddress, proxy)
  await client.query('select 1')
  await client.end()
}

/** The reason in the trail of the login that is refused. */
async function refused(token: string, localAddress: string): Promise<string> {
  const error = await use(token, localAddress).then(
    () => assert.fail('it was let in'),
    (thrown: Error & { detail?: string }) => thrown,
  )
  assert.match(error.message, /not authorised/)
  const decision = /decision=([0-9A-Z]{26})/.exec(error.detail ?? '')?.[1] ?? assert.fail('no decision id')
  const path = `/v1/sessions?decision=${decision}`
  const { items } = await eventually(
    () => callApi<{ items: { detail: string }[] }>(system.value, 'GET', path),
    (page) => page.items.length > 0,
  )
  return items[0]?.detail ?? ''
}

async function eventually<T>(ask: () => Promise<T>, holds: (answer: T) => boolean): Promise<T> {
  for (let tries = 0; tries < 150; tries++) {
    const answer = await ask()
    if (holds(answer)) return answer
    await sleep(100)
  }
  throw new Error('it did not come about within 15 s')
}

interface Finding {
  readonly detector: string
  readonly severity: string
  readonly explanation: string
  readonly subject: string
}

function findingOf(subject: string): Promise<Finding> {
  const ask = async () => {
    const { items } = await callApi<{ items: Finding[] }>(system.value, 'GET', '/v1/findings')
    return items.find((one) => one.detector === 'token-replay' && one.subject === subject)
  }
  return eventually(ask, (found) => found !== undefined).then((found) => found ?? assert.fail())
}

test('at one replica the first address alone is let in, whichever worker is asked; the attempt is a finding', async () => {
  const token = await system.value.token('one-replica')
  await use(token, '127.0.0.1')
  for (let tries = 0; tries < 6; tries++)
    assert.match(
      await refused(token, '127.0.0.2'),
      /^replay: the token was first used from 127\.0\.0\.1, and this is 127\.0\.0\.2$/,
    )
  // Whoever was first goes on.
  for (let tries = 0; tries < 6; tries++) await use(token, '127.0.0.1')
  const { explanation, severity } = await findingOf('one-replica')
  assert.match(explanation, /used from 127\.0\.0\.2 and 127\.0\.0\.1 within its life/)
  assert.equal(severity, 'warning')
  await use(token, '127.0.0.1', 'gate-2')
})

test('a token of our own is one as well, by its own id', async () => {
  const [first, second] = [
    await trade(system.value, await system.value.token('traded')),
    await trade(system.value, await system.value.token('traded')),
  ]
  await use(first, '127.0.0.2')
  assert.match(await refused(first, '127.0.0.1'), /^replay/)
  await use(second, '127.0.0.1')
})

test('at two replicas neither can know, so that both are let in, told, and the token is stopped everywhere', async () => {
  const token = await system.value.token('two-replicas')
  const rightful = await open(token, '127.0.0.1')
  await rightful.query('select 1')
  const ended = new Promise<void>((resolve) => rightful.once('end', () => resolve()))
  await use(token, '127.0.0.2', 'gate-2')
  const { explanation } = await findingOf('two-replicas')
  assert.match(explanation, /127\.0\.0\.1 and 127\.0\.0\.2|127\.0\.0\.2 and 127\.0\.0\.1/)
  await ended
  // Each from where it was let in before.
  for (const [proxy, address] of [
    ['gate-1', '127.0.0.1'],
    ['gate-2', '127.0.0.2'],
  ] as const)
    await eventually(
      () =>
        use(token, address, proxy).then(
          () => '',
          (error: Error) => error.message,
        ),
      (message) => /ended by a verdict \(token_replay\)/.test(message),
    )
  // Its next token is not concerned.
  await use(await system.value.token('two-replicas'), '127.0.0.1')
})
