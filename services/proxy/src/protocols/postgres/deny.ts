/** Refusals in the client's own language: a real ErrorResponse with SQLSTATE, DETAIL and HINT that an agent can act on. */
import type { Reason, Refusal } from '@portcullis/kernel'
import type { UpstreamError } from './upstream-error.ts'
import { type ErrorFields, errorResponse } from './wire.ts'

/** SQLSTATE by reason; PostgreSQL manual, appendix A. */
const sqlstates: Record<Reason, string> = {
  not_authorised: '28000', // invalid_authorization_specification
  verdict_throttle: '53400', // configuration_limit_exceeded
  verdict_hold: '42501', // insufficient_privilege
  verdict_block: '42501',
  verdict_kill: '57P01', // admin_shutdown
  policy_block: '42501',
  policy_hold: '42501',
  policy_default: '42501',
  approval_pending: '42501',
  approval_denied: '42501',
  approval_expired: '42501',
  approval_cancelled: '57014', // query_canceled
  approval_limit: '53400',
  approval_unavailable: '57P03', // cannot_connect_now
  mask_unavailable: '42501',
  mask_predicates: '53400',
  cap_rows_statement: '54000', // program_limit_exceeded
  cap_bytes_statement: '54000',
  cap_rows_window: '53400',
  cap_bytes_window: '53400',
  cap_commands: '53400',
  cap_sessions: '53300', // too_many_connections
  statement_too_large: '54000',
  too_many_statements: '54000',
  recording_unavailable: '58030', // io_error
  credentials_unavailable: '57P03', // cannot_connect_now
  control_stale: '57P03',
  session_expired: '57P05', // idle_session_timeout, the nearest that says "sign in anew"
  access_over: '57P01',
  credential_withdrawn: '57P01',
  statement_timeout: '57014', // query_canceled
  idle_session_timeout: '57P05',
  idle_in_transaction_timeout: '25P03',
  gate_credentials: '42501',
  unsupported: '0A000', // feature_not_supported
  draining: '57P01',
}

export function refusalMessage(refusal: Refusal, severity: 'ERROR' | 'FATAL', note = ''): Buffer {
  return errorResponse(refusalFields(refusal, severity, note))
}

/** The SQLSTATE that a client sees for this reason. */
export function sqlstateOf(reason: Reason): string {
  return sqlstates[reason]
}

/** DETAIL is `key=value` pairs for programs, HINT is a sentence for people. */
function refusalFields(
  { decision, reason, message, hint, retryAfterMs }: Refusal,
  severity: string,
  note: string,
): ErrorFields {
  const pairs = [
    `reason=${reason}`,
    `decision=${decision.id}`,
    decision.verdictId && `verdict=${decision.verdictId}`,
    decision.rule && `rule=${decision.rule}`,
    decision.approvalId && `approval=${decision.approvalId}`,
    retryAfterMs !== undefined && `retry_after_ms=${Math.ceil(retryAfterMs)}`,
    note,
  ]
  return {
    S: severity,
    V: severity,
    C: sqlstates[reason],
    M: `portcullis: ${message}`,
    D: pairs.filter(Boolean).join(' '),
    ...(hint && { H: hint }),
  }
}

/** The session was opened, and its target cannot be: the trail has why, under the id of what let it in. */
export function unreachedMessage({ code, sqlstate, message }: UpstreamError, sessionId: string): Buffer {
  return fatalMessage(sqlstate, message, '', `reason=target_${code} decision=${sessionId}`)
}

/** For what happens without a decision: a broken start-up, a target that went away. */
export function fatalMessage(sqlstate: string, text: string, hint = '', detail = ''): Buffer {
  return errorResponse({
    S: 'FATAL',
    V: 'FATAL',
    C: sqlstate,
    M: `portcullis: ${text}`,
    ...(detail && { D: detail }),
    ...(hint && { H: hint }),
  })
}
