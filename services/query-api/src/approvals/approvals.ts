/**
 * Approvals as the API has them: what waits for an answer now, from the fold of the control log, and the changes that people
 * make. Who may answer is the fold's to say, which every reader agrees with; what it would refuse is refused here already, so
 * that nobody fills the log with it. It answers only for what was read back.
 */
import { createHash, randomUUID } from 'node:crypto'
import {
  type AccessRequest,
  actorKey,
  type Approval,
  type ApprovalAnswered,
  type Clock,
  type ControlEvent,
  type Identity,
  identityKey,
  objectionTo,
  type Quorum,
  type Rejection,
  standingOf,
} from '@portcullis/kernel'
import { ControlError, type ControlLog } from '@portcullis/platform/control'
import type { Caller } from '../auth.ts'
import { ApiError } from '../problems.ts'
import { isoMicros } from '../time.ts'

export interface GivenAnswer {
  readonly answer: 'approve' | 'deny'
  readonly reason: string
  /** Of what the approver saw; whatever is asked for now where undefined. */
  readonly digest?: string | undefined
  readonly via: 'api' | 'page' | 'slack'
}

/** What access may be asked for, and of whom. */
export interface AccessRules {
  readonly quorum: readonly Quorum[]
  readonly excludesDelegators: boolean
  readonly answerSec: number
  readonly durationSecMax: number
}

export interface AskedAccess {
  readonly target: string
  readonly role: string
  readonly durationSec: number
  readonly reason: string
}

export interface Approvals {
  /** Those that something can still come of, and some that are lately over, latest first. */
  list(): Approval[]
  /** @throws ApiError not_found */
  get(approvalId: string): Approval
  /** The same answer of the same person again changes nothing and is no error. @throws ApiError */
  answer(
    approvalId: string,
    given: GivenAnswer,
    caller: Caller,
  ): Promise<{ approval: Approval; replayed: boolean }>
  /** @throws ApiError not_configured */
  askAccess(asked: AskedAccess, identity: Identity, actor: ControlEvent['actor']): Promise<Approval>
  /** What the identity was given and has now. */
  given(identity: Identity): readonly Pick<AskedAccess, 'target' | 'role'>[]
  /** Ends what was approved. Again it changes nothing. @throws ApiError */
  revoke(approvalId: string, reason: string, actor: ControlEvent['actor']): Promise<Approval>
}

export interface ApprovalsOptions {
  readonly control: Pick<ControlLog, 'state' | 'caughtUp' | 'write'>
  readonly clock: Pick<Clock, 'nowUs'>
  /** Undefined where no access can be asked for. */
  readonly access: AccessRules | undefined
}

/** Of one identity, so that no loop buries those of others. */
const pendingMax = 20

export function createApprovals({ control, clock, access }: ApprovalsOptions): Approvals {
  function requireLog(): void {
    if (!control.caughtUp())
      throw new ApiError('control_unavailable', 'The control log is still being read.', { retryAfterSec: 2 })
  }

  function get(approvalId: string): Approval {
    requireLog()
    const approval = control.state().approvals.get(approvalId)
    if (approval) return approval
    throw new ApiError('not_found', 'No approval of this id is open; /v1/approvals?state=all has older ones.')
  }

  const list = () =>
    Array.from(control.state().approvals.values()).sort(
      (a, b) => b.requestedAt - a.requestedAt || (a.approvalId < b.approvalId ? 1 : -1),
    )

  return {
    list() {
      requireLog()
      return list()
    },
    get,
    async answer(approvalId, { digest, ...given }, { actor, proof }) {
      const approval = get(approvalId)
      const { groups = [], delegation = [] } = proof?.identity ?? {}
      const change: ApprovalAnswered = {
        ...{ type: 'approval.answered', approvalId, ...given },
        digest: digest ?? approval.request.digest,
        ...{ groups, delegation: delegation.map(identityKey) },
      }
      const by = actorKey(actor)
      const objection = objectionTo(approval, change, { at: clock.nowUs(), by })
      try {
        if (objection) throw refused(objection)
        await control.write(change, actor)
        return { approval: get(approvalId), replayed: false }
      } catch (error) {
        const now = control.state().approvals.get(approvalId)
        if (now && isReplay(now, change, by)) return { approval: now, replayed: true }
        throw ofLog(error)
      }
    },
    async askAccess({ durationSec, ...asked }, identity, actor) {
      if (!access)
        throw new ApiError(
          'not_configured',
          'Nobody is named who could give access: approvals.access in the configuration.',
        )
      requireLog()
      const nowUs = clock.nowUs()
      const own = list().filter((one) => one.request.kind === 'access' && isOf(one, identity))
      refuseDenied(own, asked, nowUs)
      const open = own.filter((one) => standingOf(one, nowUs) === 'pending')
      const same = open.find(({ request: { target, role, usableUs } }) =>
        isEqual([target, role, usableUs], [asked.target, asked.role, durationSec * 1e6]),
      )
      if (same) return same
      if (open.length >= pendingMax)
        throw new ApiError('overloaded', `${pendingMax} requests of yours wait for an answer already.`, {
          retryAfterSec: 60,
        })
      const request: AccessRequest = {
        ...{ kind: 'access', identity, ...asked, usableUs: durationSec * 1e6 },
        ...{ quorum: access.quorum, excludesDelegators: access.excludesDelegators },
        deadline: nowUs + access.answerSec * 1e6,
        digest: accessDigest(identity, asked.target, asked.role, durationSec),
      }
      const approvalId = randomUUID()
      try {
        await control.write({ type: 'approval.requested', approvalId, request }, actor, {
          expectedVersion: 0,
        })
      } catch (error) {
        throw ofLog(error)
      }
      return get(approvalId)
    },
    given(identity) {
      const nowUs = clock.nowUs()
      return list().flatMap((one) =>
        one.request.kind === 'access' && isOf(one, identity) && standingOf(one, nowUs) === 'approved'
          ? [{ target: one.request.target, role: one.request.role }]
          : [],
      )
    },
    async revoke(approvalId, reason, actor) {
      const approval = get(approvalId)
      if (approval.state === 'revoked') return approval
      const change = { type: 'approval.revoked', approvalId, reason } as const
      const objection = objectionTo(approval, change, { at: clock.nowUs(), by: actorKey(actor) })
      try {
        if (objection) throw refused(objection)
        await control.write(change, actor)
      } catch (error) {
        if (control.state().approvals.get(approvalId)?.state !== 'revoked') throw ofLog(error)
      }
      return get(approvalId)
    },
  }
}

/** Who was told no does not ask on, in a loop perhaps, until somebody is tired of it. @throws ApiError conflict */
function refuseDenied(
  own: readonly Approval[],
  { target, role }: Pick<AskedAccess, 'target' | 'role'>,
  nowUs: number,
): void {
  const denied = own.find(
    ({ state, request }) =>
      state === 'denied' && request.target === target && request.role === role && nowUs < request.deadline,
  )
  if (!denied) return
  throw new ApiError(
    'conflict',
    `This was denied by ${denied.by}; it can be asked for again at ${isoMicros(denied.request.deadline)}.`,
  )
}

/** Whether the identity asks for itself. */
export function isOf({ request }: Approval, identity: Pick<Identity, 'issuer' | 'subject'>): boolean {
  return identityKey(request.identity) === identityKey(identity)
}

function isReplay({ answers, request }: Approval, { answer, digest }: ApprovalAnswered, by: string): boolean {
  return digest === request.digest && answers.some((one) => one.by === by && one.answer === answer)
}

function ofLog(error: unknown): unknown {
  if (!(error instanceof ControlError) || error.rejection === undefined) return error
  return refused({ code: error.rejection, why: error.message }, error)
}

function refused({ code, why }: Rejection, cause?: ControlError): ApiError {
  // Who is named first keeps their name as it is.
  const sentence = `${why.replace(/^[a-z](?=[a-z]* )/, (letter) => letter.toUpperCase())}.`
  if (code === 'not_eligible') return new ApiError('forbidden', sentence, { cause })
  if (code === 'not_found') return new ApiError('not_found', sentence, { cause })
  return new ApiError(code === 'invalid' ? 'rejected' : 'conflict', sentence, { cause })
}

function accessDigest(
  { issuer, subject }: Identity,
  target: string,
  role: string,
  durationSec: number,
): string {
  return createHash('sha256')
    .update(JSON.stringify(['access', issuer, subject, target, role, durationSec]))
    .digest('hex')
}

function isEqual(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.every((one, index) => one === b[index])
}
