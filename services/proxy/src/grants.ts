/**
 * Access that people gave for a while, as this worker was told: who may use which target in which role, though no group lets
 * them. It ends by this process's own clock, or when it is revoked. A list that lacks one ends nothing: an agent that has not
 * read the log yet knows of none, and what is over is told as such.
 */
import { type Clock, type Identity, identityKey, type LoginRequest } from '@portcullis/kernel'
import type { ApprovalMark } from './agent/protocol.ts'

export interface Grants {
  take(marks: readonly ApprovalMark[]): void
  /** Id of one that lets this identity in there now. */
  find(identity: Pick<Identity, 'issuer' | 'subject'>, request: Asked): string | undefined
  isInForce(approvalId: string): boolean
}

type Asked = Pick<LoginRequest, 'target' | 'role'>

export function createGrants(clock: Pick<Clock, 'nowUs'>): Grants {
  const inForce = new Map<string, ApprovalMark>()

  const isInForce = (approvalId: string) => {
    const mark = inForce.get(approvalId)
    if (!mark) return false
    if (clock.nowUs() < mark.usableUntil) return true
    inForce.delete(approvalId)
    return false
  }

  return {
    take(marks) {
      for (const mark of marks) {
        if (mark.kind !== 'access') continue
        if (mark.state === 'approved') inForce.set(mark.approvalId, mark)
        else inForce.delete(mark.approvalId)
      }
    },
    find(identity, { target, role }) {
      const who = identityKey(identity)
      let longest: ApprovalMark | undefined
      for (const mark of inForce.values()) {
        if (mark.identity !== who || mark.target !== target || mark.role !== role) continue
        if (isInForce(mark.approvalId) && mark.usableUntil > (longest?.usableUntil ?? 0)) longest = mark
      }
      return longest?.approvalId
    },
    isInForce,
  }
}
