/**
 * What clients do in a day, the ordinary and the rude: each function is one visit, which throws where the gate did not do
 * what it should. A peer that vanishes without a packet cannot be had on loopback; one that says nothing more can.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { int32, message, packet, sslRequest, startup } from '../postgres/wire.ts'
import { type Door, dial, isReady, signIn } from './raw.ts'

export interface Visit extends Door {
  /** Different for every visit. */
  readonly number: number
}

/** Longer than the gate waits for a login (see soak.ts), shorter than anything else that would end a connection. */
const loginEndsMsMax = 15_000

export const kinds = {
  /** Weight: visits of this kind of a hundred. */
  ordinary: { weight: 30, visit: ordinary },
  prepared: { weight: 12, visit: prepared },
  cancelled: { weight: 8, visit: cancelled },
  'killed in a query': { weight: 10, visit: killedInQuery },
  'killed in the login': { weight: 6, visit: killedInLogin },
  'half-open': { weight: 8, visit: halfOpen },
  'half-closed': { weight: 4, visit: halfClosed },
  'slow reader': { weight: 4, visit: slowReader },
  'refused login': { weight: 8, visit: refusedLogin },
  listener: { weight: 4, visit: listener },
  'broken COPY': { weight: 3, visit: brokenCopy },
  'ended by the server': { weight: 2, visit: endedByServer },
  nonsense: { weight: 1, visit: nonsense },
} as const

export type Kind = keyof typeof kinds

async function connected<T>(door: Door, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ host: '127.0.0.1', database: 'postgres', ...door })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await work(client)
  } finally {
    await client.end()
  }
}

async function ordinary(visit: Visit): Promise<void> {
  await connected(visit, async (client) => {
    await client.query('begin')
    const { rows } = await client.query('select $1::int + 1 as next', [visit.number])
    assert.equal(rows[0]?.next, visit.number + 1)
    await client.query(`select ${visit.number}, 'text' as a`)
    await client.query('commit')
    await assert.rejects(client.query('select * from no_such_table'), { code: '42P01' })
  })
}

/** Statements that are prepared under new names with new texts, executed and closed, in one long session. */
async function prepared(visit: Visit): Promise<void> {
  await connected(visit, async (client) => {
    for (let at = 0; at < 20; at++) {
      const name = `s${visit.number}_${at}`
      const text = `select $1::int as v, ${visit.number} as n${at}`
      const { rows } = await client.query({ name, text, values: [at] })
      assert.equal(rows[0]?.v, at)
      if (at % 2 === 0) await client.query(`deallocate ${name}`)
    }
    await client.query(`prepare p as select ${visit.number}; execute p; deallocate all`)
  })
}

/** The notice says that the server has begun: a cancel that overtakes its query is rightly without effect. */
async function cancelled(visit: Visit): Promise<void> {
  await connected(visit, async (client) => {
    const { processID, secretKey } = client as pg.Client & { processID: number; secretKey: number }
    const begun = once(client, 'notice', { signal: AbortSignal.timeout(20_000) })
    const running = client.query("do $$ begin raise notice 'begun'; perform pg_sleep(30); end $$")
    const ended = assert.rejects(running, { code: '57014' })
    await begun
    const cancel = await dial(visit.port)
    cancel.socket.end(packet(int32(80_877_102), int32(processID), int32(secretKey)))
    await cancel.closed(loginEndsMsMax)
    await ended
    await client.query('select 1')
  })
}

async function killedInQuery(visit: Visit): Promise<void> {
  const raw = await signIn(visit)
  const texts = [
    'select pg_sleep(20)',
    "select repeat('x', 1000) from generate_series(1, 100000)",
    'select 1',
  ]
  raw.socket.write(message('Q', texts[visit.number % texts.length] ?? ''))
  await sleep(visit.number % 40)
  raw.socket.resetAndDestroy()
}

async function killedInLogin({ port, user, password, number }: Visit): Promise<void> {
  const raw = await dial(port)
  raw.socket.write(startup(user))
  if (number % 3 > 0) await raw.until((heard) => heard.startsWith('R'))
  if (number % 3 > 1) raw.socket.write(message('p', password))
  await sleep(number % 7)
  raw.socket.resetAndDestroy()
}

/** Connects, says a part of what it should, and falls silent: the gate must end it by itself. */
async function halfOpen({ port, user, number }: Visit): Promise<void> {
  const raw = await dial(port)
  const whole = startup(user)
  const parts = [Buffer.alloc(0), whole.subarray(0, 3), whole.subarray(0, 15), sslRequest, whole]
  const part = parts[number % parts.length] ?? whole
  if (part.length > 0) raw.socket.write(part)
  await raw.closed(loginEndsMsMax)
}

/** Says a query and that nothing more will come, and reads on. */
async function halfClosed(visit: Visit): Promise<void> {
  const raw = await signIn(visit)
  raw.socket.allowHalfOpen = true
  raw.socket.end(message('Q', `select pg_sleep(0.05), ${visit.number}`))
  await raw.closed(loginEndsMsMax)
}

async function slowReader(visit: Visit): Promise<void> {
  const raw = await signIn(visit)
  raw.socket.write(message('Q', "select repeat('x', 1000) from generate_series(1, 20000)"))
  for (let at = 0; at < 10; at++) {
    raw.socket.pause()
    await sleep(150)
    raw.socket.resume()
    await sleep(5)
  }
  if (visit.number % 2 === 0) await raw.until(isReady)
  raw.socket.destroy()
}

async function refusedLogin(visit: Visit): Promise<void> {
  const doors = [
    { user: 'shop', password: `no.token.${visit.number}` },
    { user: `nowhere${visit.number % 50}`, password: visit.password },
    { user: 'shop', password: visit.password, database: `absent${visit.number % 50}` },
    { user: 'shop', password: visit.password, options: '-c role=postgres' },
  ]
  const door = doors[visit.number % doors.length]
  const client = new pg.Client({ host: '127.0.0.1', port: visit.port, database: 'postgres', ...door })
  client.on('error', () => undefined)
  await assert.rejects(client.connect(), (error: Error & { code?: string }) => {
    assert.match(error.code ?? '', /^(28|3D|42)/)
    return true
  })
  await client.end()
}

async function listener(visit: Visit): Promise<void> {
  const channel = `c${visit.number % 20}_${process.pid}`
  await connected(visit, async (client) => {
    await client.query(`listen ${channel}`)
    const heard = once(client, 'notification', { signal: AbortSignal.timeout(20_000) })
    await connected(visit, (other) => other.query(`notify ${channel}, '${visit.number}'`))
    await heard
    await client.query('unlisten *')
  })
}

async function brokenCopy(visit: Visit): Promise<void> {
  const raw = await signIn(visit)
  raw.socket.write(message('Q', 'copy sink from stdin'))
  await raw.until((heard) => heard.includes('G\0\0\0'))
  for (let at = 0; at < 10; at++) raw.socket.write(message('d', Buffer.from('some line\n')))
  if (visit.number % 2 === 0) raw.socket.resetAndDestroy()
  else {
    raw.socket.write(message('f', 'no more'))
    await raw.until((heard) => isReady(heard) && heard.includes('57014'))
    raw.socket.destroy()
  }
}

async function endedByServer(visit: Visit): Promise<void> {
  const raw = await signIn(visit)
  raw.socket.write(message('Q', 'select pg_terminate_backend(pg_backend_pid())'))
  await raw.closed(loginEndsMsMax)
}

/** What is no message, or one that a client must not send. */
async function nonsense(visit: Visit): Promise<void> {
  const raw = await signIn(visit)
  const texts = [Buffer.from('\x01\xff\xff\xff\xff\xff'), message('Z', 'I'), Buffer.from('Q\0\0\0\x01')]
  raw.socket.write(texts[visit.number % texts.length] ?? '')
  await raw.closed(loginEndsMsMax)
}
