/**
 * The desk where a replica's workers ask people, and spend what these have approved: the one place of a proxy that writes to
 * the control log. What it answers stands in the log and was read back from there, so that of two who spend the same the
 * first has it. It refuses to ask twice what is already being asked, to ask without end, and to guess where the bus is away.
 */
import {
  type Approval,
  approvalAggregate,
  type ApprovalChange,
  type Clock,
  type CommandRequest,
  type ControlEvent,
  identityKey,
  overBy,
  type Rejection,
  standingOf,
} from '@portcullis/kernel'
import type { ApprovalMark, Asked, ToDesk } from './protocol.ts'

export interface DeskOptions {
  readonly clock: Clock
  readonly ids: () => string
  /** Name of this replica. */
  readonly name: string
  readonly limits: { readonly pendingPerIdentityMax: number; readonly pendingPerTargetMax: number }
  /** As folded so far. */
  readonly approvals: () => Iterable<Approval>
  /** Whether the log was read to its end and can be read now. */
  readonly isFresh: () => boolean
  readonly publish: (event: ControlEvent) => Promise<void>
  readonly log: { warn(fields: object, message: string): void }
}

export interface Desk {
  /** `worker`: whoever asks, one object a connection. Never rejects; undefined where nobody waits for an answer. */
  take(worker: object, message: ToDesk): Promise<Asked> | undefined
  /** It is gone: what it asked stays asked, so that its successor may use the answer. */
  gone(worker: object): void
  /** An event was read from the log. */
  evolved(event: ControlEvent, rejection: Rejection | undefined): void
}

const writeMsMax = 5000

export function createDesk(options: DeskOptions): Desk {
  const { clock, ids } = options
  const writing = new Map<string, (rejection: Rejection | undefined) => void>()
  /** What is on its way to the log, by digest. */
  const asking = new Map<string, { readonly request: CommandRequest; readonly asked: Promise<Asked> }>()
  const waiting = new Map<string, Map<object, number>>()

  return {
    take(worker, message) {
      switch (message.kind) {
        case 'ask':
          return askFor(worker, message.request)
        case 'spend': {
          const { approvalId, digest, commandId } = message
          return write({ type: 'approval.used', approvalId, digest, commandId }).then((outcome) =>
            outcome === 'accepted' ? { approvalId } : { why: outcome === 'unknown' ? 'away' : 'lost' },
          )
        }
        case 'leave':
          void leave(worker, message.approvalId, message.withdraw)
          return undefined
      }
    },
    gone(worker) {
      for (const [approvalId, workers] of waiting)
        if (workers.delete(worker) && workers.size === 0) waiting.delete(approvalId)
    },
    evolved(event, rejection) {
      writing.get(event.eventId)?.(rejection)
    },
  }

  async function askFor(worker: object, request: CommandRequest): Promise<Asked> {
    const known = pendingOf(request.digest)
    const asked = known ? { approvalId: known.approvalId } : await shared(request)
    if ('approvalId' in asked && request.waiting) wait(worker, asked.approvalId, 1)
    return asked
  }

  function shared(request: CommandRequest): Promise<Asked> {
    const before = asking.get(request.digest)
    if (before) return before.asked
    const asked = ask(request).finally(() => asking.delete(request.digest))
    asking.set(request.digest, { request, asked })
    return asked
  }

  async function ask(request: CommandRequest): Promise<Asked> {
    // One that was read back may still be on its way to whoever asked.
    const pending = new Map<string, Approval['request']>()
    for (const { request } of [...asking.values(), ...Array.from(options.approvals()).filter(isPending)])
      pending.set(request.digest, request)
    const count = (is: (one: Approval['request']) => boolean) =>
      Array.from(pending.values()).filter(is).length
    const { pendingPerIdentityMax, pendingPerTargetMax } = options.limits
    const who = identityKey(request.identity)
    const ofIdentity = count(({ identity }) => identityKey(identity) === who)
    const ofTarget = count(({ target }) => target === request.target)
    if (ofIdentity >= pendingPerIdentityMax || ofTarget >= pendingPerTargetMax) return { why: 'limit' }
    const approvalId = ids()
    const outcome = await write({ type: 'approval.requested', approvalId, request })
    return outcome === 'accepted' ? { approvalId } : { why: 'away' }
  }

  /** Of several who wait for one answer the last to leave takes the question back. */
  async function leave(worker: object, approvalId: string, withdraw: boolean): Promise<void> {
    wait(worker, approvalId, -1)
    if (!withdraw || waiting.has(approvalId)) return
    const approval = Array.from(options.approvals()).find((one) => one.approvalId === approvalId)
    const isWaiting = approval?.request.kind === 'command' && approval.request.waiting
    if (!isWaiting || !isPending(approval)) return
    await write({ type: 'approval.withdrawn', approvalId, reason: 'nobody waits for it any more' })
  }

  function wait(worker: object, approvalId: string, more: 1 | -1): void {
    const workers = waiting.get(approvalId) ?? new Map<object, number>()
    const count = (workers.get(worker) ?? 0) + more
    if (count > 0) workers.set(worker, count)
    else workers.delete(worker)
    if (workers.size > 0) waiting.set(approvalId, workers)
    else waiting.delete(approvalId)
  }

  function pendingOf(digest: string): Approval | undefined {
    for (const approval of options.approvals())
      if (approval.request.digest === digest && isPending(approval)) return approval
    return undefined
  }

  function isPending(approval: Approval): boolean {
    return standingOf(approval, clock.nowUs()) === 'pending'
  }

  /** Resolves when it was read back. unknown: it did not come back in time, and may still count. */
  async function write(change: ApprovalChange): Promise<'accepted' | 'rejected' | 'unknown'> {
    if (!options.isFresh()) return 'unknown'
    const { type, ...payload } = change
    const event: ControlEvent = {
      eventId: ids(),
      aggregateId: approvalAggregate(change.approvalId),
      type,
      at: clock.nowUs(),
      actor: { issuer: 'portcullis', subject: options.name, roles: [] },
      expectedVersion: -1,
      payload: JSON.stringify(payload),
    }
    const { promise, resolve } = Promise.withResolvers<'accepted' | 'rejected' | 'unknown'>()
    const unknown = (why: unknown) => {
      options.log.warn({ type, approval: change.approvalId, why: String(why) }, 'a change was not read back')
      resolve('unknown')
    }
    const late = setTimeout(() => unknown(`not within ${writeMsMax} ms`), writeMsMax)
    writing.set(event.eventId, (rejection) => {
      if (rejection) options.log.warn({ type, approval: change.approvalId, why: rejection.why }, 'refused')
      resolve(rejection ? 'rejected' : 'accepted')
    })
    // Reading it back is the proof; that it was published proves nothing.
    options.publish(event).catch(unknown)
    return promise.finally(() => {
      clearTimeout(late)
      writing.delete(event.eventId)
    })
  }
}

/** What a worker has to know of it. */
export function markOf(approval: Approval): ApprovalMark {
  const { approvalId, request, state, usableUntil, answers } = approval
  const { kind, digest, identity, target, role, deadline } = request
  return {
    ...{
      approvalId,
      kind,
      digest,
      identity: identityKey(identity),
      target,
      role,
      state,
      deadline,
      usableUntil,
    },
    isWindow: kind === 'command' && request.use === 'window',
    overBy: overBy(approval),
    reason: (answers.at(-1)?.reason ?? '').slice(0, reasonCharsMax),
  }
}

const reasonCharsMax = 500
