/**
 * The workers of a proxy: as many as are wanted, each accepting from a queue of its own, replaced when they die and one
 * after another when a new generation is asked for. A queue changes hands only when the next one accepts from it, so
 * connections wait for nobody; a worker that leaves keeps its sessions until it ends.
 * It touches no client and no command.
 */
import type { ProxyConfig } from './policy-file.ts'
import type { AcceptQueues } from './accept-queues.ts'
import { type Child, createBackOff } from './children.ts'
import type { StartWorker, ToSupervisor } from './ipc.ts'
import { chooseKeepers } from './keepers.ts'

export interface CrewDeps {
  readonly queues: AcceptQueues
  readonly log: CrewLog
  start(first: StartWorker, onMessage: (message: ToSupervisor) => void): Child
  /** What is none of the crew's business. */
  onMessage(slot: number, message: ToSupervisor): void
  /** `died`: it was not told to end. */
  onGone(slot: number, died: boolean): void
}

interface CrewLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** starting -> ready -> leaving (hands its queues over) -> retired (finishes its sessions). */
export type Phase = 'starting' | 'ready' | 'leaving' | 'retired'

export interface Worker {
  readonly slot: number
  readonly home: number
  readonly child: Child
  readonly config: ProxyConfig
  readonly phase: Phase
  /** Queues it accepts from. */
  readonly keeps: ReadonlySet<number>
}

export interface Roll {
  readonly replaced: number
  readonly wanted: number
}

export interface Crew {
  /** The configuration that new workers get. */
  readonly config: ProxyConfig
  /** All that live, in the order they were started. */
  workers(): readonly Worker[]
  worker(slot: number): Worker | undefined
  /** Whether somebody accepts from every queue in use. */
  isAccepting(): boolean
  /** Resolves when each queue has a worker of its own for the first time; rejects where a worker dies before. */
  readonly complete: Promise<void>
  /**
   * Replaces one worker after another. `next` is in force from when the first of its workers accepts; where a worker
   * does not come up, those not yet replaced go on.
   */
  roll(next: ProxyConfig): Promise<Roll>
  /** The same workers go on by the rules of `next`, which differs in nothing else. */
  rule(next: ProxyConfig): void
  /** No queue is kept from now on; resolves when all are gone. */
  stop(): Promise<void>
}

interface Member extends Worker {
  phase: Phase
  readonly keeps: Set<number>
  readonly startedMs: number
  /** Whether it came to accept from its own queue; false where it ended first. */
  readonly up: PromiseWithResolvers<boolean>
  retireTimer?: NodeJS.Timeout
}

export function createCrew(first: ProxyConfig, deps: CrewDeps): Crew {
  const { queues, log } = deps
  const members = new Map<number, Member>()
  const keepers = new Map<number, number>()
  /** Queues that somebody has accepted from: connections may wait in them. */
  const open = new Set<number>()
  /** Queues that a worker was asked to accept from and does not yet. */
  const asked = new Map<number, number>()
  const backOffs = new Map<number, ReturnType<typeof createBackOff>>()
  const timers = new Map<number, NodeJS.Timeout>()
  const complete = Promise.withResolvers<void>()
  let config = first
  let nextSlot = 0
  let stopping = false
  queues.grow(config.proxy.workers)
  tend()

  return {
    get config() {
      return config
    },
    workers: () => [...members.values()],
    worker: (slot) => members.get(slot),
    isAccepting: () => !stopping && open.size > 0 && open.size === keepers.size,
    complete: complete.promise,
    roll,
    rule(next) {
      config = next
      for (const member of members.values()) inform(member)
    },
    async stop() {
      stopping = true
      for (const timer of timers.values()) clearTimeout(timer)
      queues.close()
      await Promise.all([...members.values()].map(end))
    },
  }

  async function roll(next: ProxyConfig): Promise<Roll> {
    const wanted = next.proxy.workers
    if (!stopping) queues.grow(wanted)
    for (let home = 0; home < wanted; home++) {
      const fresh = await replacement(home, next)
      if (!fresh) return { replaced: home, wanted }
      config = next
      for (const old of ofHome(home)) if (old !== fresh) leave(old)
      arrange()
    }
    for (const surplus of members.values()) if (surplus.home >= wanted) leave(surplus)
    arrange()
    return { replaced: wanted, wanted }
  }

  async function replacement(home: number, next: ProxyConfig): Promise<Member | undefined> {
    for (let tries = 0; tries < triesMax && !stopping; tries++) {
      const fresh = hire(home, next)
      const late = setTimeout(() => fresh.child.stop(0), upMsMax)
      const isUp = await fresh.up.promise
      clearTimeout(late)
      if (isUp) return fresh
    }
    return undefined
  }

  /** Each wanted worker that is not there is started, after a while where it keeps dying. */
  function tend(): void {
    for (let home = 0; home < config.proxy.workers && !stopping; home++)
      if (!isStaffed(home) && !timers.has(home)) hire(home, config)
  }

  function isStaffed(home: number): boolean {
    return ofHome(home).some(({ phase }) => phase === 'starting' || phase === 'ready')
  }

  function hire(home: number, its: ProxyConfig): Member {
    const slot = nextSlot++
    const member: Member = {
      slot,
      home,
      config: its,
      child: deps.start({ kind: 'start', config: its, slot }, (message) => receive(member, message)),
      phase: 'starting',
      keeps: new Set(),
      startedMs: performance.now(),
      up: Promise.withResolvers(),
    }
    members.set(slot, member)
    void member.child.gone.then((how) => gone(member, how))
    return member
  }

  function receive(member: Member, message: ToSupervisor): void {
    if (message.kind === 'ready') {
      if (member.phase === 'starting') member.phase = 'ready'
      // Whoever starts does not hear yet.
      if (member.config.policyText !== config.policyText) inform(member)
      arrange()
    } else if (message.kind === 'accepting') accepts(member, message.queue)
    else deps.onMessage(member.slot, message)
  }

  function inform({ child }: Member): void {
    const { policy, policyText } = config
    child.send({ kind: 'policy', config: { policy, policyText } })
  }

  function accepts(member: Member, queue: number): void {
    const { slot, home } = member
    if (asked.get(queue) === slot) asked.delete(queue)
    const before = keepers.get(queue)
    keepers.set(queue, slot)
    open.add(queue)
    member.keeps.add(queue)
    const predecessor = before === undefined || before === slot ? undefined : members.get(before)
    predecessor?.keeps.delete(queue)
    predecessor?.child.send({ kind: 'leave', queue })
    log.info({ slot, queue, port: queues.port, predecessor: predecessor?.slot }, 'worker accepts')
    if (queue === home) member.up.resolve(true)
    if (isComplete()) complete.resolve()
    arrange()
  }

  function isComplete(): boolean {
    for (let home = 0; home < config.proxy.workers; home++)
      if (members.get(keepers.get(home) ?? -1)?.home !== home) return false
    return true
  }

  /** Asks for what should be and is not, and lets go who keeps nothing any more. */
  function arrange(): void {
    if (stopping) return
    const able = [...members.values()].filter(({ phase }) => phase === 'ready')
    for (const [queue, slot] of chooseKeepers(queues.size, open, keepers, able)) {
      if (keepers.get(queue) === slot || asked.has(queue)) continue
      asked.set(queue, slot)
      members.get(slot)?.child.send({ kind: 'accept', queue }, queues.socket(queue))
    }
    for (const member of members.values())
      if (member.phase === 'leaving' && member.keeps.size === 0) retire(member)
  }

  function leave(member: Member): void {
    if (member.phase === 'ready') member.phase = 'leaving'
    if (member.phase !== 'starting') return
    member.phase = 'retired'
    void end(member)
  }

  function retire(member: Member): void {
    member.phase = 'retired'
    const msMax = config.proxy.drainSecMax * 1000
    log.info({ slot: member.slot, msMax }, 'worker accepts no more, and finishes its sessions')
    member.child.send({ kind: 'retire', msMax })
    member.retireTimer = setTimeout(() => end(member), msMax + retireGraceMs)
    // Each holds memory: a configuration that changes all the time must not keep ever more of them.
    const retired = ofHome(member.home).filter(({ phase }) => phase === 'retired')
    for (const oldest of retired.slice(0, -retiredMax)) void end(oldest)
  }

  function gone(member: Member, how: string): void {
    const { slot, phase } = member
    clearTimeout(member.retireTimer)
    members.delete(slot)
    for (const queue of member.keeps) keepers.delete(queue)
    for (const [queue, to] of asked) if (to === slot) asked.delete(queue)
    member.up.resolve(false)
    const died = !stopping && phase !== 'retired'
    deps.onGone(slot, died)
    // Another try would fail in the same way; once all have accepted nobody waits for this any more.
    complete.reject(new Error(`worker ${slot} ended before all workers listened; its own lines say why`))
    if (stopping) return
    if (!died) log.info({ slot, how }, 'worker ended')
    else callAgain(member, how)
    arrange()
    tend()
  }

  function callAgain({ slot, home, startedMs, child }: Member, how: string): void {
    const backOff = backOffs.get(home) ?? createBackOff()
    backOffs.set(home, backOff)
    const delayMs = backOff.nextMs(performance.now() - startedMs)
    log.error({ slot, pid: child.pid, how, delayMs }, 'worker died')
    clearTimeout(timers.get(home))
    const later = () => {
      timers.delete(home)
      tend()
    }
    if (delayMs > 0) timers.set(home, setTimeout(later, delayMs))
  }

  function ofHome(home: number): Member[] {
    return [...members.values()].filter((member) => member.home === home)
  }

  /** In order: idle sessions are told and end, working ones have what the configuration gives them. */
  function end({ child, config: its }: Member): Promise<void> {
    const secMax = Math.max(its.proxy.drainSecMax, config.proxy.drainSecMax)
    return child.stop(secMax * 1000 + endGraceMs)
  }
}

/** A worker that cannot serve by then will not. */
const upMsMax = 30_000
const triesMax = 3
/** Retired workers of one home; the oldest of more is told to end. */
const retiredMax = 4
/** What a worker takes to let go of its last sessions and of its parts. */
const endGraceMs = 5000
const retireGraceMs = 5000
