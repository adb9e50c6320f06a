/**
 * Targets of several hosts: a primary, its streaming standby and a server that is read-only by its settings. The oracle
 * is libpq: psql is given the same hosts and the same wish, and must end up where the gate does.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import type { SessionAttrs, Started, TargetAccess, TargetHost } from '@portcullis/kernel'
import { findPsql, type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startStandby } from '@portcullis/testkit/postgres-standby'
import { type Bed, type BedOptions, startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'
import { openUpstream } from './hosts.ts'
import { UpstreamError } from './upstream-error.ts'
import { backend, cancelRequest, headerBytes } from './wire.ts'

const run = promisify(execFile)
const allAttrs: readonly SessionAttrs[] = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
]

let primary: Started<Postgres>
let standby: Started<Postgres>
let readOnly: Started<Postgres>
/** Takes connections and never says a word. */
let silent: Server
let silentHost: TargetHost
const dead = { host: '127.0.0.1', port: 1 }
const held: Socket[] = []

before(async () => {
  primary = await startPostgres({ auth: 'password' })
  standby = await startStandby(primary.value, { auth: 'password' })
  readOnly = await startPostgres({ auth: 'password', settings: { default_transaction_read_only: true } })
  silent = createServer((socket) => held.push(socket))
  silentHost = await listening(silent)
})
after(async () => {
  for (const socket of held) socket.destroy()
  silent?.close()
  await standby?.stop()
  await primary?.stop()
  await readOnly?.stop()
})

function listening(server: Server): Promise<TargetHost> {
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () =>
      resolve({ host: '127.0.0.1', port: (server.address() as { port: number }).port }),
    ),
  )
}

function access(hosts: readonly TargetHost[], sessionAttrs: SessionAttrs): TargetAccess {
  const { user, password, database } = primary.value
  return {
    name: 'shop',
    hosts,
    sessionAttrs,
    loadBalance: 'disable',
    database,
    tls: { mode: 'disable' },
    credentials: { user, password },
    connectTimeoutMs: 2000,
    keepalive: { idleSec: 30, intervalSec: 1, count: 10 },
    timeouts: {},
  }
}

/** The port where the gate ends up, or why nowhere. */
async function chosenByGate(target: TargetAccess): Promise<number | string> {
  try {
    const { source } = await openUpstream(target, {})
    const port = source.socket.remotePort ?? 0
    source.socket.destroy()
    return port
  } catch (error) {
    assert.ok(error instanceof UpstreamError)
    return error.code
  }
}

/** The same of psql; 0 where it has no connection. */
async function chosenByLibpq({ hosts, sessionAttrs, credentials }: TargetAccess): Promise<number> {
  const parameters = {
    host: hosts.map(({ host }) => host).join(','),
    port: hosts.map(({ port }) => port).join(','),
    dbname: 'postgres',
    ...credentials,
    target_session_attrs: sessionAttrs,
    connect_timeout: '2',
    sslmode: 'disable',
  }
  const conninfo = Object.entries(parameters).map(([key, value]) => `${key}=${value}`)
  try {
    const { stdout } = await run(findPsql() ?? 'psql', [conninfo.join(' '), '-XAt', '-c', '\\echo :PORT'])
    return Number(stdout)
  } catch {
    return 0
  }
}

const isLibpq = async (target: TargetAccess) => {
  const [ours, theirs] = await Promise.all([chosenByGate(target), chosenByLibpq(target)])
  const what = `${target.sessionAttrs} of ${target.hosts.map(({ port }) => port).join(',')}: ${ours}`
  assert.equal(typeof ours === 'number' ? ours : 0, theirs, what)
  return ours
}

test('each kind of session, of each pair of hosts: where libpq goes, the gate goes', async () => {
  const hosts = [primary.value, standby.value, readOnly.value]
  const lists = hosts.flatMap((one) =>
    hosts.filter((other) => other !== one).map((other) => [dead, one, other]),
  )
  const seen = new Set<number | string>()
  for (const list of lists)
    for (const port of await Promise.all(allAttrs.map((attrs) => isLibpq(access(list, attrs)))))
      seen.add(port)
  const ports = hosts.map(({ port }) => port)
  assert.deepEqual(seen, new Set([...ports, 'unfit']))
})

test('a server that does not report what it is, is asked', async () => {
  const mute = await Promise.all([primary, standby, readOnly].map(({ value }) => withoutReports(value)))
  try {
    for (const attrs of allAttrs) {
      await isLibpq(
        access(
          [mute[1], mute[0], mute[2]].map((one) => one?.host ?? dead),
          attrs,
        ),
      )
      await isLibpq(
        access(
          [mute[0], mute[2], mute[1]].map((one) => one?.host ?? dead),
          attrs,
        ),
      )
    }
  } finally {
    for (const one of mute) one.server.close()
  }
})

test('a host that does not answer in its time, or is going down, is passed over; a refused sign-in is final', async () => {
  const since = performance.now()
  const impatient = { ...access([silentHost, silentHost, primary.value], 'any'), connectTimeoutMs: 300 }
  assert.equal(await chosenByGate(impatient), primary.value.port)
  const tookMs = performance.now() - since
  assert.ok(tookMs >= 600 && tookMs < 1500, `each host has its own time: ${tookMs} ms`)

  const leaving = await startPostgres({ auth: 'password' })
  const other = await startPostgres({
    auth: 'password',
    passwords: { superuser: 'another-one', app: 'another-one' },
  })
  try {
    const open = await openUpstream(access([leaving.value], 'any'), {})
    process.kill(leaving.value.pid(), 'SIGTERM')
    while ((await chosenByGate(access([leaving.value], 'any'))) !== 'not_ready')
      await new Promise((resolve) => setTimeout(resolve, 10))
    assert.equal(await isLibpq(access([leaving.value, primary.value], 'any')), primary.value.port)
    open.source.socket.destroy()
    assert.equal(await isLibpq(access([other.value, primary.value], 'any')), 'sign_in')
  } finally {
    await leaving.stop()
    await other.stop()
  }
})

test('shuffled, every host comes first now and then', async () => {
  const target: TargetAccess = {
    ...access([primary.value, standby.value], 'any'),
    loadBalance: 'random',
  }
  const seen = new Map<number | string, number>()
  for (let n = 0; n < 40; n++) {
    const port = await chosenByGate(target)
    seen.set(port, (seen.get(port) ?? 0) + 1)
  }
  // Fewer than five of forty: one run in ten million.
  assert.deepEqual([...seen.keys()].sort(), [primary.value.port, standby.value.port].sort())
  assert.ok(Math.min(...seen.values()) >= 5, JSON.stringify([...seen]))
})

async function withBed(options: Partial<BedOptions>, work: (bed: Bed) => Promise<void>): Promise<void> {
  const bed = await startBed({ postgres: primary.value, ...options })
  try {
    await work(bed.value)
  } finally {
    await bed.stop()
  }
}

test('a cancel goes to the host that was chosen', () =>
  withBed({ hosts: [standby.value, primary.value], sessionAttrs: 'primary' }, async (bed) => {
    const client = await RawClient.open(bed.port, 'shop', 'ann', 'postgres')
    const key = client.take().find(({ type }) => type === 'K')?.payload ?? Buffer.alloc(8)
    client.write(send.query('do $$begin raise notice $x$runs$x$; perform pg_sleep(20); end$$'))
    await client.until(() => client.replies.some(({ type }) => type === 'N'))
    connect(bed.port, '127.0.0.1').end(cancelRequest(key.readInt32BE(0), key.subarray(4)))
    await client.ready(1)
    assert.ok(client.summary().includes('E:57014'), client.summary().join(' '))
    client.end()
  }))

test('that no host will do is said in our own words: no host, no address, no user', async () => {
  const cases: [Partial<BedOptions>, RegExp, string][] = [
    [
      { hosts: [standby.value, dead], sessionAttrs: 'primary' },
      /no host of target "shop" is fit .* primary/,
      '08001',
    ],
    [
      { hosts: [primary.value], sessionAttrs: 'standby' },
      /no host of target "shop" is fit .* standby/,
      '08001',
    ],
    [{ hosts: [dead, dead], sessionAttrs: 'any' }, /no host of target "shop" can be reached/, '08006'],
  ]
  for (const [options, expected, sqlstate] of cases) {
    await withBed(options, async (bed) => {
      await assert.rejects(bed.connect(), (error: Error & { code?: string }) => {
        assert.match(error.message, expected)
        assert.equal(error.code, sqlstate)
        const all = JSON.stringify(
          error,
          Object.getOwnPropertyNames(error).filter((name) => name !== 'stack'),
        )
        for (const { host, port } of options.hosts ?? [])
          assert.ok(!all.includes(host) && !new RegExp(`\\b${port}\\b`).test(all), all)
        assert.doesNotMatch(all, /postgres/)
        return true
      })
      const logged = bed.logged.map((fields) => ('err' in fields ? String((fields.err as Error).cause) : ''))
      for (const { port } of (options.hosts ?? []).length > 1 ? (options.hosts ?? []) : [])
        assert.match(logged.join(), new RegExp(`:${port}: `), 'the log has each host')
    })
  }
})

test('how long a target takes does not count against the client that signs in', () =>
  withBed({ hosts: [silentHost, primary.value], connectTimeoutMs: 900, loginMsMax: 600 }, async (bed) => {
    const client = await bed.connect()
    await client.end()
  }))

test('a client cannot make a primary pass for read-only', () =>
  withBed({ sessionAttrs: 'read-only' }, async (bed) => {
    for (const options of ['-c default_transaction_read_only=on', '--Default-Transaction-Read-Only=1'])
      await assert.rejects(
        bed.connect('ann', { options }),
        /default_transaction_read_only.* cannot be set by the start-up packet/i,
      )
  }))

test('keepalive probes towards the target are as configured', {
  skip: process.platform !== 'linux',
}, async () => {
  const keepalive = { idleSec: 7, intervalSec: 3, count: 4 }
  const upstream = await openUpstream({ ...access([primary.value], 'any'), keepalive }, {})
  const hex = (port = 0) => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const { localPort, remotePort } = upstream.source.socket
  // State 1 is established; timer 2 is keepalive, and when it expires in hundredths of a second (Linux, proc_net_tcp).
  const line = new RegExp(`: ${hex(localPort)} ${hex(remotePort)} 01 \\S+ 02:([0-9A-F]{8}) `)
  const expires = () => line.exec(readFileSync('/proc/self/net/tcp', 'latin1'))?.[1]
  const deadline = performance.now() + 3000
  while (!expires() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20))
  const inSec = Number.parseInt(expires() ?? '', 16) / 100
  assert.ok(inSec > 3 && inSec <= 7, `${inSec}`)
  upstream.source.socket.destroy()
})

/** A server whose start-up lacks the two reports, as one before PostgreSQL 14 or a pooler. */
async function withoutReports({ host, port }: TargetHost): Promise<{ server: Server; host: TargetHost }> {
  const left = new Set(['in_hot_standby', 'default_transaction_read_only'])
  const server = createServer((client) => {
    const upstream = connect(port, host)
    let bytes: Buffer = Buffer.alloc(0)
    client.pipe(upstream)
    upstream.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      while (bytes.length >= headerBytes && bytes.length > bytes.readUInt32BE(1)) {
        const end = bytes.readUInt32BE(1) + 1
        const setting = bytes.toString('latin1', headerBytes, end).split('\0', 1)[0] ?? ''
        if (bytes[0] !== backend.parameterStatus || !left.has(setting)) client.write(bytes.subarray(0, end))
        bytes = bytes.subarray(end)
      }
    })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const)
      one.on('error', () => undefined).on('close', () => other.destroy())
  })
  return { server, host: await listening(server) }
}
