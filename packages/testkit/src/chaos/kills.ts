/**
 * Kills parts of a running system at random instants and brings them back, as a supervisor would. It waits for no part
 * but the one it kills: others may still be coming up. It ends only what the system started.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestKafka } from '../kafka.ts'
import type { System } from '../system.ts'
import { until } from './settle.ts'

/**
 * worker, agent: one process of the proxy. supervisor: it alone. proxy: supervisor, workers and agent at once.
 * everything: proxy, projector, analyzer and engine at once.
 */
export type Victim =
  | 'worker'
  | 'agent'
  | 'supervisor'
  | 'proxy'
  | 'projector'
  | 'analyzer'
  | 'engine'
  | 'kafka'
  | 'everything'

export interface Kill {
  readonly victim: Victim
  /** Milliseconds since the first instant. */
  readonly atMs: number
  /** Until it was back: ready, or for a worker or agent there again. */
  readonly backMs: number
}

export interface KillOptions {
  readonly system: System
  readonly kafka?: TestKafka
  readonly victims: readonly Victim[]
  readonly kills: number
  /** Before a kill, once the load moves: at least and at most. */
  readonly gapMs: readonly [number, number]
  /** How much the clients have done: it must grow by 20 between two kills, or they would not be under load. */
  progress(): number
  /** Uniform in [0, 1). */
  random(): number
  /** Just before a process of these ids dies. */
  onKill?(victim: Victim, pids: readonly number[]): void
}

/** Resolves with all kills once every part is back. */
export async function killAtRandom(options: KillOptions): Promise<Kill[]> {
  const { victims, random } = options
  const startMs = performance.now()
  const done: Kill[] = []
  const comingBack = new Map<string, Promise<void>>()
  let bag: Victim[] = []
  for (let left = options.kills; left > 0; left--) {
    // Each in turn, in random order: fifty draws could leave one out.
    if (bag.length === 0) bag = shuffled(victims, random)
    const victim = bag.pop()
    if (!victim) break
    await Promise.all(familiesOf(victim).map((family) => comingBack.get(family)))
    const before = options.progress()
    await until('the clients to get on', backMsMax, () => options.progress() >= before + progressMin)
    const [least, most] = options.gapMs
    await sleep(least + random() * (most - least))
    const atMs = performance.now() - startMs
    const back = kill(victim, options).then(() => {
      done.push({ victim, atMs, backMs: performance.now() - startMs - atMs })
    })
    for (const family of familiesOf(victim)) comingBack.set(family, back)
    // Whoever waits for it is told.
    back.catch(() => undefined)
  }
  await Promise.all(comingBack.values())
  return done.sort((a, b) => a.atMs - b.atMs)
}

const scripts = { worker: 'src/worker.ts', agent: 'src/agent/main.ts' }
const backMsMax = 90_000
const progressMin = 20

const whole: readonly Victim[] = ['proxy', 'projector', 'analyzer', 'engine']

/** What must have come back before. Processes of the proxy are brought back by each other: one at a time. */
function familiesOf(victim: Victim): readonly string[] {
  if (victim === 'everything') return whole
  return ['worker', 'agent', 'supervisor'].includes(victim) ? ['proxy'] : [victim]
}

async function kill(victim: Victim, options: KillOptions): Promise<void> {
  const { system, kafka, random } = options
  switch (victim) {
    case 'worker':
    case 'agent': {
      const pids = system.childrenOf('proxy', scripts[victim])
      const pid = pids[Math.floor(random() * pids.length)]
      if (pid === undefined) throw new Error(`the proxy has no ${victim}`)
      options.onKill?.(victim, [pid])
      process.kill(pid, 'SIGKILL')
      return until(`a new ${victim}`, backMsMax, () => {
        const now = system.childrenOf('proxy', scripts[victim])
        return now.length === pids.length && !now.includes(pid)
      })
    }
    case 'supervisor':
    case 'proxy':
      options.onKill?.(victim, system.childrenOf('proxy', scripts.worker))
      return restart(
        () => system.kill9('proxy:gate-1', victim === 'supervisor' ? 'alone' : 'group'),
        () => system.startPart('proxy:gate-1'),
      )
    case 'projector':
    case 'analyzer':
      options.onKill?.(victim, [system.pid(victim)])
      return restart(
        () => system.kill9(victim),
        () => system.startPart(victim),
      )
    case 'everything':
      await Promise.all(whole.map((one) => kill(one, options)))
      return
    case 'engine':
      options.onKill?.(victim, [system.engine?.pid ?? 0])
      return system.killEngine9()
    case 'kafka':
      options.onKill?.(victim, [])
      await kafka?.kill9()
      await sleep(random() * 2000)
      return kafka?.restart()
  }
}

/** A part may find another one dead just when it starts; it is started until it stays. */
async function restart(first: () => Promise<void>, again: () => Promise<void>): Promise<void> {
  const deadlineMs = performance.now() + backMsMax
  let act = first
  for (;;) {
    try {
      return await act()
    } catch (error) {
      if (performance.now() > deadlineMs) throw error
      await sleep(200)
      act = again
    }
  }
}

function shuffled<T>(values: readonly T[], random: () => number): T[] {
  return values
    .map((value) => ({ value, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value)
}

/** Uniform in [0, 1) from a seed, so that the same instants can be drawn again (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
