// Generated from schemas/avro by schemas/generate.ts. Do not edit.

/** What a command does to the world. `unknown` is what the gate could not read; it is never waved through as `read`. */
export type Effect = 'read' | 'write' | 'delete' | 'define' | 'grant' | 'execute' | 'export' | 'unknown'

/** One link of a delegation chain (RFC 8693 `act`), the outermost actor first. */
export interface Actor {
  /** Issuer URL of the token that named this actor. */
  readonly issuer: string
  /** Subject within the issuer. */
  readonly subject: string
  /** person, agent, task, run or unknown. */
  readonly kind: string
}

/** Who acts, as proven by a token. */
export interface Identity {
  /** Issuer URL, exactly as in the token's `iss`. */
  readonly issuer: string
  /** The token's `sub`. */
  readonly subject: string
  /** Groups mapped from the token's claims. */
  readonly groups: readonly string[]
  /** On whose behalf, outermost first; empty where nobody delegated. */
  readonly delegation: readonly Actor[]
  /** One running copy of the identity: the token's `jti`, or where it has none the SHA-256 of its header and payload (not of its signature, which anyone can spell in another valid way). */
  readonly instance: string
  /** What the agent was sent to do, as the token says; empty where unknown. */
  readonly task: string
  /** The tokens that this one was traded from, oldest first, each `ISSUER TOKENID`; a verdict on any of them reaches this one. */
  readonly ancestors: readonly string[]
}

/** Where a connection came from. */
export interface Origin {
  /** Source IP address, without port. */
  readonly address: string
  /** ISO 3166-1 alpha-2, empty where unknown or private. */
  readonly country: string
  /** ISO 3166-2 subdivision where a city database is configured, else empty. */
  readonly region: string
  /** Autonomous system number, 0 where unknown. */
  readonly asn: number
  /** Name of the autonomous system. */
  readonly asOrg: string
}

/** One thing a command touches: a table, a function, a Kubernetes resource, a path. */
export interface TargetObject {
  /** table, function, role, schema, database, program, setting, resource, path, tool, ... */
  readonly kind: string
  /** SQL schema or Kubernetes namespace; empty where the text named none. */
  readonly namespace: string
  /** Name as resolved from the text, unquoted. */
  readonly name: string
  /** What the command does to this object. */
  readonly effect: Effect
  /** Columns (or fields, sub-resources) named for this object. */
  readonly columns: readonly string[]
}

/** What the gate decided about a command or a login, and who made it decide so. */
export interface Decision {
  /** Decision id, shown to the client on a refusal. */
  readonly id: string
  /** allow, throttle, hold, block, kill or cap. */
  readonly action: string
  /** Reason code, a closed list in packages/kernel/src/decision.ts; empty for a plain allow. */
  readonly reason: string
  /** Name of the rule or cap that decided, empty where none did. */
  readonly rule: string
  /** Verdict that decided, empty where none did. */
  readonly verdictId: string
  /** Approval that let it pass, empty where none was needed. */
  readonly approvalId: string
  /** Version of the policy and targets in force. */
  readonly policyVersion: string
  /** False where observe mode only recorded what would have been enforced. */
  readonly enforced: boolean
  /** Microseconds the command was held back before it was forwarded or refused. */
  readonly delayUs: number
}

/** The proxy that wrote an event. */
export interface ProxyInfo {
  /** Configured name of the proxy replica. */
  readonly name: string
  /** Version of Portcullis it runs. */
  readonly version: string
}

/** An event's place in its recorder's gap-free, hash-chained sequence. */
export interface Link {
  /** Id of the recorder: one life of one proxy process. */
  readonly recorder: string
  /** 1, 2, 3 ... over all events of the recorder, sessions and commands together. */
  readonly seq: number
  /** `hash` of the recorder's event before; 32 zero bytes for the first. */
  readonly prevHash: Uint8Array
  /** SHA-256 over prevHash followed by this event's Avro bytes with `hash` empty. */
  readonly hash: Uint8Array
}

/** Topic portcullis.baselines.v1, keyed by commands partition and identity, compacted: a snapshot of one baseline with the offset it holds for. */
export interface BaselineEvent {
  /** Identity key (packages/kernel/src/identity.ts). */
  readonly identity: string
  /** Partition of the commands topic it was folded from. */
  readonly partition: number
  /** First offset of that partition not yet folded in. */
  readonly nextOffset: number
  /** Event time of the last command folded in. */
  readonly at: number
  /** Version of the state's own shape; a reader that does not know it folds anew. */
  readonly stateVersion: number
  /** JSON of the fold's state. */
  readonly state: string
}

export type CommandPhase = 'started' | 'progress' | 'finished'

export type Stage = 'run' | 'prepare'

export type Outcome = 'ok' | 'error' | 'refused' | 'cut' | 'cancelled' | 'skipped' | 'unknown'

/** One masked column of a result. */
export interface MaskedColumn {
  /** Column or path that was masked. */
  readonly column: string
  /** How many values were masked. */
  readonly values: number
}

/** Topic portcullis.commands.v1, keyed by identity: one command with its outcome; earlier phases only where it runs long or waits. */
export interface CommandEvent {
  /** Deterministic: recorder and sequence number. The same event sent twice has the same id. */
  readonly eventId: string
  /** Session id, a dot, and the command's number in the session. */
  readonly commandId: string
  /** started: still running after half a second, or waiting for a person. progress: cumulative, every 10 s or 16 MiB. finished: has the outcome. */
  readonly phase: CommandPhase
  /** Session it ran in. */
  readonly sessionId: string
  /** Place in the recorder's chain. */
  readonly link: Link
  /** Who ran it. */
  readonly identity: Identity
  /** Target it was for. */
  readonly target: string
  /** Role of the target, empty for its default. */
  readonly role: string
  /** Database (or other sub-address) of the target. */
  readonly database: string
  /** postgres, ssh, http, kubernetes, mcp. */
  readonly protocol: string
  /** Where the session came from. */
  readonly origin: Origin
  /** run: executed. prepare: parsed, described or bound at the target, never executed in that batch. */
  readonly stage: Stage
  /** The command as sent, credential literals removed. */
  readonly text: string
  /** Length of the original text in bytes. */
  readonly textBytes: number
  /** Equal for commands that differ only in literals; for SQL the PostgreSQL grammar's fingerprint. */
  readonly fingerprint: string
  /** SELECT, INSERT, COPY, ...; a method; exec, shell-line, sftp-read; a tool's name. */
  readonly verb: string
  /** What it does; `unknown` where it could not be read. */
  readonly effects: readonly Effect[]
  /** What it touches. */
  readonly objects: readonly TargetObject[]
  /** Uses power beyond data: roles, grants, file and network functions, programs, server settings. */
  readonly privileged: boolean
  /** What the gate decided and why. */
  readonly decision: Decision
  /** Every further attribute that a rule read, as JSON values, so that a backtest is exact. */
  readonly attributes: Readonly<Record<string, string>>
  /** null before phase finished. ok, error: the target's answer. refused: by the gate. cut: stopped by the gate mid-way. cancelled: by the client. skipped: the target never ran it, an earlier one failed. unknown: the proxy died between intent and outcome. */
  readonly outcome: null | Outcome
  /** Native error code (SQLSTATE, HTTP status, exit status), empty where none. */
  readonly errorCode: string
  /** Native completion tag, such as `SELECT 3`. */
  readonly tag: string
  /** Rows the client sent (COPY in). */
  readonly rowsIn: number
  /** Rows sent to the client. */
  readonly rowsOut: number
  /** Rows changed, as the target reported. */
  readonly rowsAffected: number
  /** Bytes the client sent for this command. */
  readonly bytesIn: number
  /** Bytes sent to the client for this command. */
  readonly bytesOut: number
  /** What was masked; never the values. */
  readonly masked: readonly MaskedColumn[]
  /** When the proxy received it; the same in every phase. */
  readonly startedAt: number
  /** Microseconds from receipt to this phase. */
  readonly durationUs: number
  /** Proxy that served it. */
  readonly proxy: ProxyInfo
}

/** Who made the change. */
export interface ControlActor {
  /** Issuer, or `portcullis` for a service of ours. */
  readonly issuer: string
  /** Subject within the issuer. */
  readonly subject: string
  /** Roles held at that moment. */
  readonly roles: readonly string[]
}

/** Topic portcullis.control.v1 (one partition), keyed by aggregate id: one change of control state. The log's order decides. */
export interface ControlEvent {
  /** Unique; a repeated id is ignored by the fold. */
  readonly eventId: string
  /** What it changes, such as `verdict/01J...`. */
  readonly aggregateId: string
  /** Kind of change, such as `verdict.issued`; a reader skips and counts the kinds it does not know. */
  readonly type: string
  /** When it was written. */
  readonly at: number
  /** Who made the change. */
  readonly actor: ControlActor
  /** Version of the aggregate the writer saw; the fold rejects the event where it has moved on. -1: no condition. */
  readonly expectedVersion: number
  /** JSON of the kind's own shape (packages/kernel/src/control.ts). */
  readonly payload: string
}

export type Severity = 'info' | 'warning' | 'error' | 'critical'

/** Topic portcullis.findings.v1, keyed by identity: one departure from a baseline, with its evidence. */
export interface FindingEvent {
  /** Deterministic in what caused it. */
  readonly findingId: string
  /** Event time of the command that completed it. */
  readonly at: number
  /** Whose baseline was departed from. */
  readonly identity: Identity
  /** Session of that command. */
  readonly sessionId: string
  /** Target of that command. */
  readonly target: string
  /** Name of the detector. */
  readonly detector: string
  /** command-rate, data-volume, privileged-use, region, pressure, ... */
  readonly feature: string
  /** As in PagerDuty Events v2. */
  readonly severity: Severity
  /** -log10 of the probability under the baseline, capped at 300. */
  readonly score: number
  /** What was seen, in `unit`. */
  readonly observed: number
  /** What the baseline expected, in `unit`. */
  readonly expected: number
  /** commands/min, bytes/min, rows, ... */
  readonly unit: string
  /** One sentence for a person, with the figures. */
  readonly explanation: string
  /** Evidence: the commands, latest last, at most 20. */
  readonly commandIds: readonly string[]
  /** Start of the span that was judged. */
  readonly windowStart: number
  /** End of the span that was judged. */
  readonly windowEnd: number
}

export type RecordedStream = 'output' | 'input' | 'error' | 'resize' | 'marker' | 'exit'

/** Topic portcullis.recordings.v1, keyed by session id: one chunk of what a session showed. */
export interface RecordingEvent {
  /** Deterministic: session and chunk number. */
  readonly eventId: string
  /** Session it belongs to. */
  readonly sessionId: string
  /** 1, 2, 3 ... within the session, gap-free. */
  readonly chunk: number
  /** Command that was running, empty where none. */
  readonly commandId: string
  /** Which stream, as in asciicast v3 (o, i, r, m, x) plus error output. */
  readonly stream: RecordedStream
  /** When it was shown. */
  readonly at: number
  /** The bytes, after masking. */
  readonly data: Uint8Array
}

export type SessionPhase = 'opened' | 'closed' | 'refused'

/** Topic portcullis.sessions.v1, keyed by session id: a session opened or closed, or a login was refused. */
export interface SessionEvent {
  /** Deterministic: recorder and sequence number. The same event sent twice has the same id. */
  readonly eventId: string
  /** opened, closed, or refused (a login that was not let in). */
  readonly phase: SessionPhase
  /** Session id; for a refused login the id it would have had. */
  readonly sessionId: string
  /** Place in the recorder's chain. */
  readonly link: Link
  /** When this phase happened, microseconds since 1970 UTC. */
  readonly at: number
  /** When the session opened; equal to `at` for opened and refused. */
  readonly startedAt: number
  /** Who; null for a refused login whose token proved nobody. */
  readonly identity: null | Identity
  /** Target asked for. */
  readonly target: string
  /** Role of the target, empty for its default. */
  readonly role: string
  /** Database (or other sub-address) of the target, empty where the protocol has none. */
  readonly database: string
  /** postgres, ssh, http, kubernetes, mcp. */
  readonly protocol: string
  /** Where the connection came from. */
  readonly origin: Origin
  /** What the client calls itself (application_name, user agent, SSH version). */
  readonly client: string
  /** TLS version towards the client, empty for plain. */
  readonly tls: string
  /** The token's `exp`. */
  readonly tokenExpiresAt: null | number
  /** Why it was let in, refused or ended. */
  readonly decision: Decision
  /** For a refused or ended session the reason in words; never a secret. */
  readonly detail: string
  /** Commands recorded in the session (phase closed). */
  readonly commands: number
  /** Rows sent to the client (phase closed). */
  readonly rowsOut: number
  /** Bytes from client to target (phase closed). */
  readonly bytesIn: number
  /** Bytes from target to client (phase closed). */
  readonly bytesOut: number
  /** Proxy that served it. */
  readonly proxy: ProxyInfo
}

export type SignInKind = 'unknown' | 'claimed' | 'signed_in' | 'refused' | 'signed_out' | 'device_asked' | 'device_approved' | 'device_denied' | 'device_redeemed' | 'device_refused'

/** Topic portcullis.sign-ins.v1 (all under one key, so that the log's order decides): one step of a person signing in, or of a device that asks a person. */
export interface SignInEvent {
  /** Unique; a repeated id changes nothing. */
  readonly eventId: string
  /** What happened. claimed: something that may be used once was used. */
  readonly kind: SignInKind
  /** When, by the clock of who wrote it. */
  readonly at: number
  /** Configured name of the provider, empty where none is concerned. */
  readonly provider: string
  /** Issuer of the person, empty where nobody was proven. */
  readonly issuer: string
  /** Subject of the person within the issuer. */
  readonly subject: string
  /** Groups that the provider named. */
  readonly groups: readonly string[]
  /** Id of the token that was given out or ended: the instance of whoever uses it. */
  readonly instance: string
  /** Source address of the request. */
  readonly address: string
  /** Client that asked in the device flow, in its own words. */
  readonly client: string
  /** What the device asked to be limited to, in the words of OAuth; empty for no limit. */
  readonly scope: string
  /** What it is about: the device flow's id, or a hash of what was used. */
  readonly ref: string
  /** Keyed hash of the code that a device shows, for device_asked. */
  readonly userCode: string
  /** When what it is about ends. */
  readonly until: number
  /** Code of why it was refused. */
  readonly reason: string
  /** The same in words, for who looks into it; never a token, a code, or what the provider sent. */
  readonly detail: string
  /** Id of the request, which the person was shown. */
  readonly requestId: string
  /** What only the API may read: who approved a device. Not in the audit trail. */
  readonly sealed: string
}

export type VerdictState = 'active' | 'lifted'

export type VerdictAction = 'throttle' | 'hold' | 'block' | 'kill'

export type SubjectKind = 'identity' | 'instance' | 'session' | 'token' | 'delegation'

/** Whom it is about. */
export interface VerdictSubject {
  /** identity: issuer and subject. instance: one jti of it. session: one connection. token: by jti whoever holds it. delegation: everyone acting for this actor. */
  readonly kind: SubjectKind
  /** Issuer; empty for kind session. */
  readonly issuer: string
  /** Subject, session id, or actor's subject; for kind instance the identity's subject. */
  readonly id: string
  /** The jti for kinds instance and token. */
  readonly instance: string
}

/** Topic portcullis.verdicts.v1, keyed by verdict id, compacted: what is to be enforced on whom, until when, and why. */
export interface VerdictEvent {
  /** Deterministic in what caused it, so that a replay gives the same id. */
  readonly verdictId: string
  /** lifted: no longer to be enforced, before its time. */
  readonly state: VerdictState
  /** What to do with the subject's commands. */
  readonly action: VerdictAction
  /** Whom it is about. */
  readonly subject: VerdictSubject
  /** Only at this target; empty for all. */
  readonly target: string
  /** Event time of the command that caused it. */
  readonly issuedAt: number
  /** Absolute end; proxies let it pass by their own clock. */
  readonly until: number
  /** For throttle: commands a minute let through, over the whole fleet. */
  readonly ratePerMinute: number
  /** For block: also cancel the command that is running. */
  readonly cancelRunning: boolean
  /** Reason code. */
  readonly reason: string
  /** One sentence for a person, with the figures. */
  readonly explanation: string
  /** Ids of the findings it rests on. */
  readonly findings: readonly string[]
  /** Command that tipped it. */
  readonly causeCommandId: string
  /** When the proxy received that command; detect-to-enforce is measured from here. */
  readonly causeReceivedAt: number
  /** analyzer, or the person who issued it. */
  readonly issuedBy: string
}
