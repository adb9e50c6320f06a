/** An approval as the API shows it: the columns of the table `approvals`, from what the fold holds. Pure. */
import { type Approval, groupText, identityKey, standingOf } from '@portcullis/kernel'
import { isoMicros, isoMicrosOrNull } from '../time.ts'

export function approvalRow(approval: Approval, nowUs: number) {
  const { approvalId, request, answers, requestedAt, usableUntil, commandId } = approval
  const { identity, target, role, digest, quorum, excludesDelegators, deadline, kind } = request
  const { issuer, subject, groups, instance, task, delegation } = identity
  const last = answers.at(-1)
  return {
    ...{ approvalId, kind, state: standingOf(approval, nowUs) },
    ...{ identity: identityKey(identity), issuer, subject, groups, instance, task, delegation },
    ...{ target, role, digest, excludesDelegators },
    quorum: quorum.map(({ groups: among, count }) => ({ groups: among.map(groupText), count })),
    ...commandFields(approval),
    ...{ commandId, askedAt: isoMicros(requestedAt), expiresAt: isoMicros(deadline) },
    usableSec: Math.round(request.usableUs / 1e6),
    usableUntil: isoMicrosOrNull(usableUntil),
    answers: answers.map(({ delegation: _, ...one }) => ({ ...one, at: isoMicros(one.at) })),
    ...{ answeredAt: last ? isoMicros(last.at) : null, answeredBy: last?.by ?? '' },
    usedAt: approval.state === 'used' ? isoMicros(approval.since) : null,
    reason: approval.reason || (last?.reason ?? ''),
  }
}

export type ApprovalRow = ReturnType<typeof approvalRow>

function commandFields({ request }: Approval) {
  if (request.kind === 'access')
    return {
      ...{ use: 'window', isWaiting: false, protocol: '', database: '', sessionId: '', text: '' },
      ...{ fingerprint: '', values: [], policyVersion: '', rule: '', verdictId: '' },
      ...{ estimatedRows: '-1', why: request.reason },
    }
  const { use, waiting, protocol, database, sessionId, statement, fingerprint, values } = request
  const { policyVersion, rule, verdictId, estimatedRows } = request
  return {
    ...{ use, isWaiting: waiting, protocol, database, sessionId, text: statement, fingerprint, values },
    ...{ policyVersion, rule, verdictId, estimatedRows: String(estimatedRows), why: '' },
  }
}
