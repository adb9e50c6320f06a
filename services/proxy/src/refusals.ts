/** What a refusal says, by reason: the one place with its words, whatever the protocol. */
import type { Action, Decision, Reason, Refusal, Verdict } from '@portcullis/kernel'

/** The decision's fields that vary; the rest is empty. */
export type DecisionParts = Partial<Decision> & Pick<Decision, 'id' | 'action' | 'policyVersion'>

export function decision(parts: DecisionParts): Decision {
  return { reason: '', rule: '', verdictId: '', approvalId: '', enforced: true, delayUs: 0, ...parts }
}

/** By a verdict. Its reason is told, its explanation is not: that has the baseline's figures, and the client may be a thief. */
export function refusalByVerdict(
  verdict: Verdict,
  id: string,
  policyVersion: string,
  nowUs: number,
  delayUs: number,
): Refusal {
  const reason = `verdict_${verdict.action}` as const
  return {
    decision: decision({
      id,
      action: verdict.action,
      reason,
      verdictId: verdict.verdictId,
      policyVersion,
      delayUs,
    }),
    reason,
    message: `${words[reason].message} (${verdict.reason})`,
    hint: words[reason].hint,
    retryAfterMs: Math.max(0, (verdict.until - nowUs) / 1000),
  }
}

/** By anything else. `rule` names the cap or setting. */
export function refusal(
  reason: Exclude<Reason, `verdict_${string}`>,
  parts: {
    id: string
    policyVersion: string
    rule?: string
    retryAfterMs?: number
    detail?: string
    hint?: string
    verdictId?: string
    approvalId?: string
    delayUs?: number
    action?: Action
  },
): Refusal {
  const byReason: Action = /^policy_hold$|^approval_/.test(reason)
    ? 'hold'
    : /^cap_|_timeout$/.test(reason)
      ? 'cap'
      : 'block'
  const { id, policyVersion, rule = '', retryAfterMs, detail = '', delayUs = 0 } = parts
  const { verdictId = '', approvalId = '', hint = words[reason].hint, action = byReason } = parts
  return {
    decision: decision({ id, action, reason, rule, verdictId, approvalId, policyVersion, delayUs }),
    reason,
    message: detail ? `${words[reason].message}: ${detail}` : words[reason].message,
    hint,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  }
}

const words: Record<Reason, { message: string; hint: string }> = {
  not_authorised: { message: 'not authorised', hint: '' },
  verdict_throttle: { message: 'too many commands', hint: 'Slow down; retry after the time in DETAIL.' },
  verdict_hold: {
    message: 'held for a person',
    hint: 'Ask the owners of this target to lift the verdict in DETAIL.',
  },
  verdict_block: {
    message: 'blocked',
    hint: 'Do not retry before the time in DETAIL; ask the owners of this target to lift the verdict.',
  },
  verdict_kill: {
    message: 'session ended by a verdict',
    hint: 'Ask the owners of this target to lift the verdict in DETAIL.',
  },
  policy_block: {
    message: 'blocked by policy',
    hint: 'The rule in DETAIL forbids this; ask the owners of this target.',
  },
  policy_hold: {
    message: 'this needs the approval of a person',
    hint: 'The rule in DETAIL holds it; ask the owners of this target.',
  },
  approval_pending: {
    message: 'this needs the approval of a person, who has been asked',
    hint: 'Send the same again once it is approved.',
  },
  approval_denied: {
    message: 'a person has refused this',
    hint: 'Do not send it again; ask whoever refused it.',
  },
  approval_expired: {
    message: 'nobody has approved this in time',
    hint: 'Send it again to have it asked again, and tell whoever may approve it.',
  },
  approval_cancelled: { message: 'canceling statement due to user request', hint: '' },
  approval_limit: {
    message: 'this needs the approval of a person, and too many wait for one already',
    hint: 'Wait until some are answered.',
  },
  approval_unavailable: {
    message: 'this needs the approval of a person, and nobody can be asked now',
    hint: 'Retry later; the operators have been told.',
  },
  policy_default: {
    message: 'no rule allows this',
    hint: 'Ask the owners of this target for a rule that allows it.',
  },
  mask_unavailable: {
    message: 'what this returns must be masked, which cannot be done here',
    hint: 'The rule in DETAIL masks it; ask the owners of this target.',
  },
  mask_predicates: {
    message: 'what is masked decided too many answers',
    hint: 'Retry after the time in DETAIL; the rule there bounds how often its columns may be asked for.',
  },
  cap_rows_statement: { message: 'result cut: too many rows for one statement', hint: 'Ask for fewer rows.' },
  cap_bytes_statement: { message: 'cut: too many bytes for one statement', hint: 'Ask for less data.' },
  cap_rows_window: {
    message: 'too many rows in a while',
    hint: 'Retry after the time in DETAIL, or ask for fewer rows.',
  },
  cap_bytes_window: {
    message: 'too many bytes in a while',
    hint: 'Retry after the time in DETAIL, or ask for less data.',
  },
  cap_commands: { message: 'too many commands a second', hint: 'Slow down; retry after the time in DETAIL.' },
  cap_sessions: { message: 'too many open sessions', hint: 'Close sessions that are not in use.' },
  statement_too_large: {
    message: 'the statement text is too long',
    hint: 'Send values as parameters or by COPY.',
  },
  too_many_statements: {
    message: 'too many prepared statements or portals in one session',
    hint: 'Close those that are no longer used.',
  },
  recording_unavailable: {
    message: 'commands cannot be recorded now',
    hint: 'Retry later; the operators have been told.',
  },
  credentials_unavailable: {
    message: 'the gate cannot get the credentials of this target now',
    hint: 'Retry later; the operators have been told.',
  },
  control_stale: {
    message: 'the gate has lost its control plane',
    hint: 'Retry later; the operators have been told.',
  },
  session_expired: {
    message: 'the session has reached its greatest age',
    hint: 'Connect anew with a fresh token.',
  },
  access_over: {
    message: 'the access that was given for a while is over',
    hint: 'Ask for it again: portcullis grants request.',
  },
  credential_withdrawn: {
    message: 'session ended: the key it was opened with was withdrawn',
    hint: 'Ask whoever gave you the key.',
  },
  // In the server's own words: to a client it is the same thing.
  statement_timeout: {
    message: 'canceling statement due to statement timeout of the gate',
    hint: 'Ask for less at a time; no setting of the session lifts this limit.',
  },
  idle_session_timeout: {
    message: 'terminating connection due to idle-session timeout of the gate',
    hint: 'Connect anew.',
  },
  idle_in_transaction_timeout: {
    message: 'terminating connection due to idle-in-transaction timeout of the gate',
    hint: 'The transaction is rolled back; connect anew and commit sooner.',
  },
  gate_credentials: {
    message: 'the role that the gate signs in with cannot be altered through the gate',
    hint: 'Ask the owners of this target.',
  },
  unsupported: { message: 'not supported through the gate', hint: '' },
  draining: { message: 'the gate is shutting down', hint: 'Connect anew.' },
}
