/** Why something was refused, delayed or cut: the closed list of reason codes, the same in every protocol, event and screen. */
export type Reason =
  | 'not_authorised' // the login's token, target or role
  | 'verdict_throttle'
  | 'verdict_hold'
  | 'verdict_block'
  | 'verdict_kill'
  | 'policy_block' // a rule says so
  | 'policy_hold' // a rule says that a person must let it pass
  | 'policy_default' // no rule allows it
  | ApprovalReason
  | 'mask_unavailable' // a rule masks what it answers or stores elsewhere, and that cannot be done
  | 'mask_predicates' // what is masked decided too many answers
  | 'cap_rows_statement'
  | 'cap_bytes_statement'
  | 'cap_rows_window'
  | 'cap_bytes_window'
  | 'cap_commands'
  | 'cap_sessions'
  | 'statement_too_large'
  | 'too_many_statements' // prepared statements or portals of one session
  | 'recording_unavailable'
  | 'credentials_unavailable' // where the target's credentials are kept, there is no answer
  | 'control_stale' // the folded control state is older than allowed
  | 'session_expired'
  | 'credential_withdrawn' // the API key behind the session was disabled or deleted
  | 'access_over' // what people gave for a while is over, or was revoked
  | TimeoutReason
  | 'gate_credentials' // would change how the gate itself signs in at the target
  | 'unsupported' // a protocol step that would blind the gate
  | 'draining'

/** What became of the question to people whether it may pass. */
export type ApprovalReason =
  | 'approval_pending' // they have been asked
  | 'approval_denied'
  | 'approval_expired' // nobody answered in time
  | 'approval_cancelled' // the client gave up waiting
  | 'approval_limit' // as many as may are waiting for an answer
  | 'approval_unavailable' // they cannot be asked, or the answer cannot be spent, now

/** One of the times that a target gives its sessions is up. */
export type TimeoutReason = 'statement_timeout' | 'idle_session_timeout' | 'idle_in_transaction_timeout'

export type Action = 'allow' | 'throttle' | 'hold' | 'block' | 'kill' | 'cap'

/** What the gate decided about one command or login, and who made it decide so. Empty strings where nobody did. */
export interface Decision {
  /** Shown to the client on a refusal, searchable in the trail. */
  readonly id: string
  readonly action: Action
  readonly reason: Reason | ''
  /** Name of the rule or cap. */
  readonly rule: string
  readonly verdictId: string
  readonly approvalId: string
  readonly policyVersion: string
  /** False where observe mode only recorded what would have been enforced. */
  readonly enforced: boolean
  /** How long the command was held back before it was forwarded or refused, microseconds. */
  readonly delayUs: number
}

/** What a protocol turns into its own native refusal. Never names a backend's user, host or secret. */
export interface Refusal {
  readonly decision: Decision
  readonly reason: Reason
  /** One sentence for the person or agent that reads it. */
  readonly message: string
  /** What to do about it. */
  readonly hint: string
  /** When a retry can succeed, milliseconds from now; undefined where waiting does not help. */
  readonly retryAfterMs?: number
}
