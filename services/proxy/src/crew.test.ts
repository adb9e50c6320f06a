/** The crew's order of steps with children that do as they are told, also what takes real ones too long to bring about. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Config, parseConfig } from '@portcullis/config'
import type { BoundSocket } from './accept-queues.ts'
import type { Child } from './children.ts'
import { createCrew } from './crew.ts'
import type { StartWorker, ToAgent, ToSupervisor, ToWorker } from './ipc.ts'

test('a new worker accepts before the old one is told to leave, and each has a slot of its own', async (t) => {
  const bed = startBed(t, 2)
  await bed.crew.complete
  bed.said.length = 0
  assert.deepEqual(await bed.crew.roll(config(2)), { replaced: 2, wanted: 2 })
  assert.deepEqual(bed.said, [
    'start 2',
    '2 accept 0',
    '0 leave 0',
    '0 retire',
    'start 3',
    '3 accept 1',
    '1 leave 1',
    '1 retire',
  ])
  assert.deepEqual(
    bed.crew.workers().map(({ phase }) => phase),
    ['retired', 'retired', 'ready', 'ready'],
  )
})

test('of retired workers with sessions the oldest beyond four of a home is drained', async (t) => {
  const bed = startBed(t, 1)
  await bed.crew.complete
  for (let i = 0; i < 4; i++) await bed.crew.roll(config(1))
  assert.deepEqual(bed.stopped, [])
  await bed.crew.roll(config(1))
  assert.deepEqual(bed.stopped, [0])
  await bed.crew.roll(config(1))
  assert.deepEqual(bed.stopped, [0, 1])
})

test('a configuration whose workers die before they accept is given up after three; the old one stays in force', async (t) => {
  const bed = startBed(t, 2)
  await bed.crew.complete
  bed.dieYoung = true
  const next = config(2)
  assert.deepEqual(await bed.crew.roll(next), { replaced: 0, wanted: 2 })
  assert.deepEqual(bed.died, [2, 3, 4])
  assert.notEqual(bed.crew.config, next)
  assert.ok(bed.crew.isAccepting())
  assert.deepEqual(
    bed.crew.workers().map(({ slot, phase }) => `${slot} ${phase}`),
    ['0 ready', '1 ready'],
  )
})

test('where only a later worker does not come up, the new configuration is in force for what starts from then on', async (t) => {
  const bed = startBed(t, 2)
  await bed.crew.complete
  const next = config(2)
  bed.dieFrom = 3
  assert.deepEqual(await bed.crew.roll(next), { replaced: 1, wanted: 2 })
  assert.equal(bed.crew.config, next)
  assert.ok(bed.crew.isAccepting())
})

test('a worker that dies: another accepts from its queue at once, and gives it to the new one', async (t) => {
  const bed = startBed(t, 2)
  await bed.crew.complete
  bed.said.length = 0
  bed.die(0)
  await until(() => bed.said.includes('1 leave 0'))
  assert.deepEqual(bed.said, ['1 accept 0', 'start 2', '2 accept 0', '1 leave 0'])
})

test('where nobody is left, the queues wait for the first that comes back', async (t) => {
  const bed = startBed(t, 2)
  await bed.crew.complete
  bed.die(0)
  bed.die(1)
  await until(() => !bed.crew.isAccepting())
  await until(() => bed.crew.isAccepting() && bed.crew.workers().every(({ keeps }) => keeps.size === 1))
})

test('a stop ends all, starts no more, and cuts a replacement short', async (t) => {
  const bed = startBed(t, 2)
  await bed.crew.complete
  bed.mute = true
  const rolling = bed.crew.roll(config(2))
  await bed.crew.stop()
  assert.deepEqual(await rolling, { replaced: 0, wanted: 2 })
  assert.deepEqual(bed.crew.workers(), [])
  assert.ok(bed.closed())
  const started = bed.said.filter((line) => line.startsWith('start'))
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.equal(bed.said.filter((line) => line.startsWith('start')).length, started.length)
})

function config(workers: number): Config {
  return parseConfig(
    `
bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }] }
targets: [{ name: shop, protocol: postgres, address: 'db:5432', credentials: { user: app }, groups: [agents] }]
proxy: { workers: ${workers}, recorder: { onUnavailable: deny } }
`,
    '/etc/portcullis.yaml',
  )
}

function startBed(t: TestContext, workers: number) {
  const said: string[] = []
  const stopped: number[] = []
  const died: number[] = []
  const ends = new Map<number, (how: string) => void>()
  const socket: BoundSocket = { getsockname: () => 0, close: () => undefined }
  let size = workers
  let closed = false

  const start = ({ slot }: StartWorker, onMessage: (message: ToSupervisor) => void): Child => {
    const { promise: gone, resolve } = Promise.withResolvers<string>()
    ends.set(slot, resolve)
    said.push(`start ${slot}`)
    const diesYoung = bed.dieYoung || slot >= bed.dieFrom
    if (diesYoung) {
      died.push(slot)
      resolve('exit code 1')
    } else if (!bed.mute) setImmediate(() => onMessage({ kind: 'ready' }))
    return {
      pid: slot,
      gone,
      send(message: ToWorker | ToAgent) {
        said.push(`${slot} ${message.kind}${'queue' in message ? ` ${message.queue}` : ''}`)
        if (message.kind === 'accept')
          setImmediate(() => onMessage({ kind: 'accepting', queue: message.queue }))
      },
      async stop() {
        stopped.push(slot)
        resolve('exit code 0')
        await gone
      },
    }
  }
  const bed = {
    said,
    stopped,
    died,
    dieYoung: false,
    dieFrom: Number.POSITIVE_INFINITY,
    mute: false,
    die: (slot: number) => ends.get(slot)?.('SIGKILL'),
    closed: () => closed,
  }
  const crew = createCrew(config(workers), {
    queues: {
      port: 1,
      get size() {
        return size
      },
      socket: () => socket,
      grow: (to) => {
        size = Math.max(size, to)
      },
      close: () => {
        closed = true
      },
    },
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    start,
    onMessage: () => undefined,
    onGone: () => undefined,
  })
  t.after(() => crew.stop())
  return Object.assign(bed, { crew })
}

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 5000
  while (!condition()) {
    assert.ok(performance.now() < deadlineMs, `not so within 5 s: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
