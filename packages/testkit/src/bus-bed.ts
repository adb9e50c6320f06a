/**
 * What the bus contract needs of each implementation, and helpers over it: connections, member processes that can be
 * killed, and waiting. It asserts nothing about the bus itself.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus, Received, Started, Topic, TopicSpec } from '@portcullis/kernel'
import { type BusOptions, connectBus } from '@portcullis/platform/connect'

export interface BusBed {
  readonly url: string
  /** What makes retention and compaction fast enough to be seen in a test. */
  readonly options: Partial<BusOptions>
  /** Leases of members: short enough for a test, long enough for a busy machine. Default 2 500. */
  readonly sessionTimeoutMs?: number
  /** Why retention and compaction cannot be seen here in a test's time. */
  readonly cleansTooSeldom?: string
  stop(): Promise<void>
}

export interface BusTools {
  readonly sessionTimeoutMs: number
  /** A new topic of its own name. */
  topic(spec?: Partial<TopicSpec>): Promise<Topic>
  /** A connection of its own, as another process would have; stopped after the test. */
  open(options?: Partial<BusOptions>): Promise<Bus>
  /** The same, to be stopped by the test (or after it). */
  openStarted(options?: Partial<BusOptions>): Promise<Started<Bus>>
  /** A process that consumes `topic` in group `name` (its lines: what it handled) or publishes to it (its lines: what was acknowledged). */
  member(role: MemberRole, topic: Topic, name: string, options?: MemberOptions): Member
  stop(): Promise<void>
}

export type MemberRole = 'consume' | 'publish' | 'publish-blocked' | 'publish-regardless'

export interface MemberOptions {
  /** No file of its may grow beyond this: what a full disk is like, for this process alone. */
  readonly fileBytesMax?: number
  readonly publishTimeoutMs?: number
}

export interface Member {
  readonly pid: number
  readonly lines: string[]
  kill(signal: NodeJS.Signals): Promise<void>
}

export function createBusTools(bed: BusBed): BusTools {
  const stops: (() => Promise<void>)[] = []
  const sessionTimeoutMs = bed.sessionTimeoutMs ?? 2_500
  const openStarted = async (options: Partial<BusOptions> = {}) => {
    const started = await connectBus(bed.url, {
      ...bed.options,
      logger: silent,
      sessionTimeoutMs,
      ...options,
    })
    stops.push(started.stop)
    return started
  }
  return {
    sessionTimeoutMs,
    openStarted,
    open: async (options) => (await openStarted(options)).value,
    async topic(spec) {
      const topic = `portcullis.test-${randomUUID().slice(0, 8)}.v1` as Topic
      const { value: bus } = await openStarted()
      await bus.ensureTopics([{ topic, partitions: 4, cleanup: 'delete', retentionMs: -1, ...spec }])
      return topic
    },
    member(role, topic, name, { fileBytesMax, publishTimeoutMs = 30_000 } = {}) {
      const script = join(import.meta.dirname, 'bus-member.ts')
      const order = JSON.stringify({ url: bed.url, role, topic, name, sessionTimeoutMs, publishTimeoutMs })
      const node = [process.execPath, script, order]
      // Ignored, the signal turns into the error that a full disk would give. ulimit counts blocks of 512 bytes.
      const limited = [
        'sh',
        '-c',
        `trap '' XFSZ; ulimit -S -f ${(fileBytesMax ?? 0) / 512}; exec "$@"`,
        'sh',
        ...node,
      ]
      const [command = '', ...parameters] = fileBytesMax === undefined ? node : limited
      const child = spawn(command, parameters, {
        stdio: ['ignore', 'pipe', fileBytesMax ? 'ignore' : 'inherit'],
      })
      const lines: string[] = []
      createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
      const kill = (signal: NodeJS.Signals) => end(child, signal)
      stops.push(() => kill('SIGKILL'))
      assert.ok(child.pid)
      return { pid: child.pid, lines, kill }
    },
    async stop() {
      for (const stop of stops.splice(0).reverse()) await stop()
    },
  }
}

export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) assert.fail(`still not so after ${timeoutMs} ms: ${what}`)
    await sleep(10)
  }
}

/** All that the topic keeps now, in the order of each partition. */
export async function readAll(bus: Bus, topic: Topic): Promise<Received[]> {
  const all: Received[] = []
  const caughtUp = Promise.withResolvers<void>()
  const tail = await bus.tail({
    topics: [topic],
    from: 'earliest',
    onBatch: (records) => void all.push(...records),
    onCaughtUp: caughtUp.resolve,
  })
  await caughtUp.promise
  await tail.stop()
  return all
}

export function textOf({ value }: Pick<Received, 'value'>): string {
  return Buffer.from(value ?? '').toString()
}

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill(signal)
  await closed
}
