/**
 * One approval: a person's answer to one held command, or to a request for access for a while. A decider of plain
 * functions: `objectionTo` says why a change is refused, `evolve` what an accepted one makes of the approval. Both look at
 * nothing but the changes in the log, so that the log's order decides between two who answer at once, and every reader
 * holds the same.
 *
 * It refuses to read a clock. What came too late is told by the times that the changes themselves carry, which are the same
 * for every reader; what has expired by now is told by `standingOf`, with the reader's own clock.
 */
import type { Identity } from '../events.gen.ts'
import { belongsTo, type GroupRef, groupText, identityKey } from '../identity.ts'
import type { Occurrence, Rejection } from './aggregate.ts'

export interface Approval {
  readonly approvalId: string
  readonly request: ApprovalRequest
  /** Microseconds since 1970 UTC, by the clock of whoever asked. */
  readonly requestedAt: number
  /** The service that asked, in the form of an identity key. */
  readonly requestedBy: string
  /** In the log's order, one a person. */
  readonly answers: readonly Answer[]
  readonly state: 'pending' | 'approved' | 'denied' | 'withdrawn' | 'used' | 'revoked'
  /** When it came to this state. */
  readonly since: number
  /** Who brought it there, in the form of an identity key. */
  readonly by: string
  /** Of a withdrawal or revocation; empty otherwise. */
  readonly reason: string
  /** End of the time for which an approved one is good; 0 before it is approved. */
  readonly usableUntil: number
  /** The command that spent it; empty otherwise. */
  readonly commandId: string
}

export type ApprovalRequest = CommandRequest | AccessRequest

interface RequestParts {
  /** SHA-256 over all that the answer is bound to, 64 hex digits. */
  readonly digest: string
  readonly identity: Identity
  readonly target: string
  /** Role of the target. */
  readonly role: string
  /** Who has to approve: each of these groups of people, and nobody counts for two. */
  readonly quorum: readonly Quorum[]
  /** Whether those in the delegation chain of the identity may not answer. The identity itself never may, nor whoever asked for it. */
  readonly excludesDelegators: boolean
  /** No answer counts from then on, microseconds since 1970 UTC. */
  readonly deadline: number
}

/** `count` people, each in one of the groups; the group "*" is everybody's who may approve at all. */
export interface Quorum {
  readonly groups: readonly GroupRef[]
  readonly count: number
}

export interface CommandRequest extends RequestParts {
  readonly kind: 'command'
  /** once: spent by `approval.used`. window: as often as wanted while it is good. */
  readonly use: 'once' | 'window'
  /** For how long it is good once approved, microseconds. */
  readonly usableUs: number
  /** The session waits for the answer; otherwise its client was refused and told to come again. */
  readonly waiting: boolean
  readonly protocol: string
  readonly database: string
  readonly sessionId: string
  /** The command as asked for, credentials removed: all of it. */
  readonly statement: string
  readonly fingerprint: string
  /** The bound values as people read them, long ones cut; the digest is over the values themselves. */
  readonly values: readonly string[]
  readonly policyVersion: string
  /** Empty where no rule held it. */
  readonly rule: string
  /** Empty where no verdict held it. */
  readonly verdictId: string
  /** How many rows the target expects to be concerned; -1 where nobody asked it. */
  readonly estimatedRows: number
}

/** The identity may use the target as the role from the approval on. */
export interface AccessRequest extends RequestParts {
  readonly kind: 'access'
  /** For how long from the approval on, microseconds. */
  readonly usableUs: number
  readonly reason: string
}

export interface Answer {
  readonly answer: 'approve' | 'deny'
  /** In the form of an identity key. */
  readonly by: string
  readonly at: number
  /** Groups of the approver at that moment. */
  readonly groups: readonly string[]
  /** On whose behalf, as identity keys; empty for a person. */
  readonly delegation: readonly string[]
  readonly reason: string
  /** Where it was given, such as `api` or `slack`. */
  readonly via: string
}

export type ApprovalChange =
  | { readonly type: 'approval.requested'; readonly approvalId: string; readonly request: ApprovalRequest }
  | ApprovalAnswered
  /** Spends it. In the log before the command goes on, and only the first counts. */
  | {
      readonly type: 'approval.used'
      readonly approvalId: string
      readonly digest: string
      readonly commandId: string
    }
  /** Nobody waits for the answer any more. */
  | { readonly type: 'approval.withdrawn'; readonly approvalId: string; readonly reason: string }
  /** Ends what was approved: a grant, or a command that has not run yet. */
  | { readonly type: 'approval.revoked'; readonly approvalId: string; readonly reason: string }

export interface ApprovalAnswered {
  readonly type: 'approval.answered'
  readonly approvalId: string
  /** Of the request that the approver saw. */
  readonly digest: string
  readonly answer: 'approve' | 'deny'
  readonly reason: string
  readonly groups: readonly string[]
  /** On whose behalf the approver acts, as identity keys; empty for a person. */
  readonly delegation: readonly string[]
  readonly via: string
}

type Later = Exclude<ApprovalChange, { readonly type: 'approval.requested' }>
type When = Pick<Occurrence, 'at' | 'by'>

export type Standing = Approval['state'] | 'expired'

/** What it is worth now. */
export function standingOf(approval: Approval, nowUs: number): Standing {
  const { state, request, usableUntil } = approval
  if (state === 'pending') return nowUs < request.deadline ? state : 'expired'
  if (state === 'approved') return nowUs < usableUntil ? state : 'expired'
  return state
}

/** No change that was accepted could make anything of it from then on, whatever its state: readers may forget it. */
export function overBy({ request }: Approval): number {
  return request.deadline + request.usableUs
}

export function requested(approvalId: string, request: ApprovalRequest, { at, by }: When): Approval {
  return {
    ...{ approvalId, request, requestedAt: at, requestedBy: by, answers: [] },
    ...{ state: 'pending', since: at, by, reason: '', usableUntil: 0, commandId: '' },
  }
}

/** Why this change cannot be made, or undefined. */
export function objectionTo(approval: Approval, change: Later, when: When): Rejection | undefined {
  switch (change.type) {
    case 'approval.answered':
      return objectionToAnswer(approval, change, when)
    case 'approval.used':
      return objectionToUse(approval, change, when)
    case 'approval.withdrawn':
      return approval.state === 'pending' ? undefined : decided(approval)
    case 'approval.revoked':
      return approval.state === 'approved' ? undefined : notApproved(approval)
  }
}

export function evolve(approval: Approval, change: Later, { at, by }: When): Approval {
  const moved = { ...approval, since: at, by }
  switch (change.type) {
    case 'approval.answered': {
      const { answer, groups, delegation, reason, via } = change
      const answers = [...approval.answers, { answer, by, at, groups, delegation, reason, via }]
      if (answer === 'deny') return { ...moved, answers, state: 'denied' }
      if (!isMet(approval.request.quorum, answers)) return { ...approval, answers }
      return { ...moved, answers, state: 'approved', usableUntil: at + approval.request.usableUs }
    }
    case 'approval.used':
      return { ...moved, state: 'used', commandId: change.commandId }
    case 'approval.withdrawn':
      return { ...moved, state: 'withdrawn', reason: change.reason }
    case 'approval.revoked':
      return { ...moved, state: 'revoked', reason: change.reason }
  }
}

/** Why whoever this is may not answer, or undefined; also for a page that shows no button then. */
export function objectionToApprover(
  { request, requestedBy }: Pick<Approval, 'request' | 'requestedBy'>,
  approver: Approver,
): Rejection | undefined {
  const { identity, excludesDelegators, quorum } = request
  const asking = [
    requestedBy,
    identityKey(identity),
    ...(excludesDelegators ? identity.delegation.map(identityKey) : []),
  ]
  if (asking.includes(approver.by))
    return { code: 'not_eligible', why: 'whoever asks, or has it asked on their behalf, cannot answer' }
  if (approver.delegation.some((one) => asking.includes(one)))
    return { code: 'not_eligible', why: 'who acts on behalf of whoever asks cannot answer' }
  if (!quorum.some(({ groups }) => isOneOf(approver, groups)))
    return {
      code: 'not_eligible',
      why: `only members of ${[...new Set(quorum.flatMap(({ groups }) => groups.map(groupText)))].join(', ')} can answer`,
    }
  return undefined
}

type Approver = Pick<Answer, 'by' | 'groups' | 'delegation'>

/** The groups are those that the issuer of whoever began says: no issuer's name has the "|" that ends it in a key. */
function isOneOf({ by, groups, delegation }: Approver, among: readonly GroupRef[]): boolean {
  const [issuer = ''] = (delegation[0] ?? by).split('|', 1)
  return belongsTo({ issuer, delegation: [], groups }, among)
}

function objectionToAnswer(
  approval: Approval,
  change: ApprovalAnswered,
  { at, by }: When,
): Rejection | undefined {
  const { request, answers } = approval
  if (change.digest !== request.digest) return mismatch
  const before = answers.find((one) => one.by === by)
  if (before) return { code: 'answered', why: `${by} has answered before: ${before.answer}` }
  if (approval.state !== 'pending') return decided(approval)
  if (at >= request.deadline) return { code: 'too_late', why: 'the time to answer is over' }
  return objectionToApprover(approval, { by, groups: change.groups, delegation: change.delegation })
}

function objectionToUse(
  approval: Approval,
  change: Extract<Later, { readonly type: 'approval.used' }>,
  { at }: When,
): Rejection | undefined {
  const { request } = approval
  if (request.kind !== 'command' || request.use !== 'once')
    return { code: 'invalid', why: 'only the approval of one command can be spent' }
  if (change.digest !== request.digest) return mismatch
  if (approval.state !== 'approved') return notApproved(approval)
  return at < approval.usableUntil ? undefined : { code: 'too_late', why: 'what was approved has expired' }
}

const mismatch: Rejection = { code: 'mismatch', why: 'the digest is not that of what was asked for' }

function decided({ state, by }: Approval): Rejection {
  return { code: 'decided', why: `it was ${state} before, by ${by}` }
}

function notApproved({ state }: Approval): Rejection {
  return state === 'used'
    ? { code: 'decided', why: 'it was used before' }
    : { code: 'not_approved', why: `it is ${state}, not approved` }
}

/** Whether those who approve can be told off to the places, each to one: an augmenting path for each place (Kuhn 1955). */
function isMet(quorum: readonly Quorum[], answers: readonly Answer[]): boolean {
  const places = quorum.flatMap(({ groups, count }) => Array.from({ length: count }, () => groups))
  const approving = answers.filter(({ answer }) => answer === 'approve')
  const taken = new Map<number, Answer>()
  const seat = (place: number, tried: Set<Answer>): boolean =>
    approving.some((one) => {
      if (tried.has(one) || !isOneOf(one, places[place] ?? [])) return false
      tried.add(one)
      const held = [...taken].find(([, who]) => who === one)?.[0]
      if (held !== undefined && !seat(held, tried)) return false
      taken.set(place, one)
      return true
    })
  return places.every((_, place) => seat(place, new Set()))
}
