import type { Socket } from 'node:net'
import type { Analysis, CommandResult } from './command.ts'
import type { Reason, Refusal, TimeoutReason } from './decision.ts'
import { CodedError } from './errors.ts'
import type { Identity, Origin } from './identity.ts'
import type { LineagesOf } from './lineage.ts'
import type { MaskPlan } from './mask.ts'
import type { Progress } from './recorder.ts'

/**
 * What a protocol must be, so that a new one is one folder. It turns bytes into commands and refusals into native
 * answers; it never decides, never records, and reaches a target only through `Session.pass`.
 */
export interface Protocol {
  readonly name: string
  /** Serves one accepted connection to its end. Never throws; resolves when both sides are closed. */
  serve(connection: ClientConnection, door: Door): Promise<void>
}

export interface ClientConnection {
  readonly socket: Socket
  /** Bytes already read from the socket (after a PROXY header), to be taken first. */
  readonly head: Uint8Array
  readonly origin: Origin
  /** A loopback peer that no proxy stands before: tokens may travel in clear. */
  readonly loopback: boolean
}

/** What the proxy hands to a protocol. */
export interface Door {
  /** Proves, authorises, opens and records a session, or says why not (after recording the refusal). */
  login(request: LoginRequest): Promise<Session | Refusal>
}

export interface LoginRequest {
  readonly connection: ClientConnection
  readonly protocol: string
  readonly target: string
  readonly role: string
  /** Empty for the target's default. */
  readonly database: string
  /** Empty where the certificate was enough. */
  readonly token: string
  /** What the client showed by TLS, trusted or not. */
  readonly certificate?: ClientCertificate
  readonly client: string
  readonly tls: string
}

/** A client's certificate whose private key it has. */
export interface ClientCertificate {
  /** SHA-256 of its DER form, base64url (RFC 8705 section 3.1). */
  readonly thumbprint: string
  /** Why it proves nobody: nobody that the listener trusts vouches for it, or its time is over. */
  readonly problem?: string
  /** Of its subject; several are as good as none. */
  readonly commonNames: readonly string[]
  /** Of its subject alternative name (RFC 5280 section 4.2.1.6). */
  readonly uris: readonly string[]
  readonly dnsNames: readonly string[]
  /** Microseconds since 1970 UTC. */
  readonly validUntilUs: number
}

/** Commands that are forwarded or refused together: one message of the wire. `analyses` has at least one. */
export interface Unit {
  readonly analyses: readonly Analysis[]
  /** Microseconds since 1970 UTC. */
  readonly receivedAt: number
  readonly attributes?: Readonly<Record<string, string>>
  /**
   * All of it only undoes, and there is something to undo: let through even to the blocked, outside of every rate. A
   * protocol says so of one unit at a time, so that it is no way to keep a target busy.
   */
  readonly undoes?: boolean
  /** Goes on with a command that was recorded earlier (Execute after Parse): decided again, not recorded again. */
  readonly adopts?: Command
  /**
   * Only asks what a command that was recorded earlier would return (Describe): decided as that one would be, outside of
   * every rate, and recorded only where it is refused.
   */
  readonly describes?: boolean
  /**
   * What the client sent, for people to approve and for the digest that binds their answer to it. Absent or undefined where
   * the bytes do not tell what will run (a name whose text is elsewhere, values that are too long to be shown).
   */
  readonly original?: () => Original | undefined
  /**
   * It only prepares what comes again with its values (Parse before Bind): where it would be held it passes, and what comes
   * with the values is held. Called then, so that the protocol keeps what the later unit's `original` needs.
   */
  readonly defers?: () => void
  /**
   * How many rows it would change or return; `nothing`: none, since nothing of it is run yet or it has none. Absent: nobody
   * can tell. The same object for the same execution.
   */
  readonly estimate?: RowEstimate | 'nothing' | undefined
  /** It would hold locks at the target while it waits. */
  readonly inTransaction?: boolean
  /** A command for each analysis whose caps it counts against in place of caps of its own: what a FETCH gets is its cursor's. */
  readonly charges?: readonly (Command | undefined)[]
  /** Of `analyses`. Absent: the lineage of whatever it answers is lost. */
  readonly lineagesOf?: LineagesOf
  /** What the protocol itself cannot let pass (too long a text, a step that would blind the gate): recorded and refused. */
  readonly objection?: Extract<
    Reason,
    'statement_too_large' | 'too_many_statements' | 'unsupported' | 'gate_credentials'
  >
}

/** Asks the target's planner before a command runs. */
export interface RowEstimate {
  /** What is asked: a command of the gate's own, to be recorded before it is sent. */
  readonly analysis: Analysis
  /** undefined: no answer in time, or none that tells. Never rejects. */
  ask(): Promise<number | undefined>
}

export interface Original {
  /** All bytes that decide what runs: the text, then each value with its type and format. Not kept beyond the call. */
  readonly pieces: readonly Uint8Array[]
  /** What the names in it stand for, as far as the session decides that: the same text, the same meaning. */
  readonly names: string
  /** The values as people read them; long ones may be cut. */
  readonly values: readonly string[]
}

/** A command that was recorded; its meter is counted down in place on the way back. */
export interface Command {
  readonly number: number
  readonly id: string
  readonly analysis: Analysis
  readonly startedAt: number
  readonly meter: Meter
  /** Of what it returns, as it was decided last; absent: all of it may be seen. */
  readonly mask?: MaskPlan | undefined
}

/** What may still pass for a running command. The relay subtracts; where it would go below zero it asks for more, and cuts when there is none. */
export interface Meter {
  rowsLeft: number
  bytesLeft: number
  /** Makes room for this many more and returns undefined, or says why there is none. */
  refill(rows: number, bytes: number): Refusal | undefined
}

/** The protocol's side of `Session.pass`: input is pulled unit by unit, output is queued and sent once it stands recorded. */
export interface Road {
  /** The next unit that needs a decision, after queueing whatever comes before it and needs none; undefined when the input is used up; a promise where reading it takes long. */
  next(): Unit | Promise<Unit> | undefined
  /** Decided and about to be recorded: queue its bytes. */
  allowed(unit: Unit, commands: readonly Command[]): void
  /** Refused as a whole: queue what takes its place; returns the native code the client will see. Outcomes are recorded by the gate. */
  refused(unit: Unit, refusal: Refusal): string
  /** All that is queued stands recorded: write it. */
  send(): void
  /** Before a wait (throttle, rate): a protocol may tell its client. */
  waiting?(unit: Unit, reason: Reason, waitMs: number): void
  /**
   * The unit waits for a person: told when the wait begins, then every so often, and undefined when it is over, whatever
   * came of it. A protocol keeps its client's connection alive meanwhile, and says that it waits in the client's own
   * language (a NOTICE; a line on stderr; HTTP has none, so it asks for no wait and answers 403 with Retry-After).
   */
  holding?(unit: Unit, hold: Hold | undefined): void
}

/** A command that waits for a person. */
export interface Hold {
  readonly approvalId: string
  /** Where people answer; empty where nobody said so. */
  readonly link: string
  /** The name of the rule, or of the verdict. */
  readonly by: string
  /** How long it waits yet at most. */
  readonly waitMs: number
  /** cancelled: the client gives up. draining: the gate stops, and the question stays open. */
  end(why: 'cancelled' | 'draining'): void
}

export interface Session {
  readonly id: string
  readonly identity: Identity
  /** As it is now: `renewCredentials` changes it. */
  readonly target: TargetAccess
  /** Whether rules in force ask how many rows a command would change: then each execution is a command of its own. */
  asksRows(): boolean
  /** Whether rules in force mask what comes back, or observe that: then it matters to know where that comes from. */
  isMasking(): boolean
  /**
   * The target refused the credentials: have them read anew where they are kept. True where `target` has others now;
   * false where there are none, however that came. Never rejects; bounded in time. Absent where they cannot change.
   */
  renewCredentials?(): Promise<boolean>
  /**
   * The only road from a client to a target: decide -> record -> forward or refuse, for each unit that `road.next`
   * gives, until it gives none. Returns a promise where a unit must wait or the record needs the disk; the protocol
   * reads no further from its client meanwhile. Throws (or rejects with) SessionEnded where the session cannot go on,
   * with the refusal to tell the client; nothing that was queued may be sent then.
   */
  pass(road: Road): undefined | Promise<void>
  /** For what the target sends while no command runs. */
  readonly unasked: Meter
  /** Exactly once for each command that was allowed. `by`: the refusal that cut it. */
  finish(command: Command, result: CommandResult, by?: Refusal): void
  /** The protocol registers once how to carry out what comes from outside. */
  onOrder(orders: SessionOrders): void
  /** The refusal for an answer that cannot be masked as this rule says; `detail` says why in words. */
  unmaskable(rule: string, detail: string): Refusal
  /** The refusal for a time of the target's that the protocol has seen pass. */
  timedOut(reason: TimeoutReason): Refusal
  /** Exactly once, when the connection is gone. `detail` says why in words; `by`: the refusal that ended it. */
  close(detail: string, by?: Refusal): void
}

/** The session cannot go on: it was closed, killed, or what must be recorded cannot be. */
export class SessionEnded extends CodedError<'session_ended'> {
  readonly refusal: Refusal
  constructor(refusal: Refusal, options?: ErrorOptions) {
    super('session_ended', refusal.message, options)
    this.refusal = refusal
  }
}

/** What others may ask of a live session. */
export interface SessionOrders {
  /** End the session: cancel what runs, tell the client in its own language, close. */
  kill(refusal: Refusal): void
  /** Cut the running command, keep the session. */
  cancelRunning(refusal: Refusal): void
  /** The proxy stops: end the session as soon as nothing runs and no transaction is open. */
  drain(refusal: Refusal): void
  /** The command that runs now with its counts so far, for progress events. */
  running(): { readonly command: Command; readonly progress: Progress } | undefined
}

/** How to reach the target as the session's role. Only the protocol's upstream side may read `credentials`. */
export interface TargetAccess {
  readonly name: string
  /** At least one; all are the same target to whoever connects to it. */
  readonly hosts: readonly TargetHost[]
  /** Which of the hosts will do. */
  readonly sessionAttrs: SessionAttrs
  /** Whether each session tries the hosts in an order of its own, or all in the given one. */
  readonly loadBalance: 'disable' | 'random'
  readonly database: string
  readonly tls: UpstreamTls
  readonly credentials: { readonly user: string; readonly password: string }
  /** Of each host by itself. */
  readonly connectTimeoutMs: number
  readonly keepalive: Keepalive
  readonly timeouts: Timeouts
  /** How often what is defined there may be read anew, to judge commands by it; absent: never read. */
  readonly catalogueRefreshMs?: number
  /** How long its planner may be asked how many rows a command would change; absent: never asked. */
  readonly estimateMsMax?: number
}

/** What the gate gives a session, milliseconds, whatever the server is set to; for ever where absent. */
export interface Timeouts {
  readonly statementMs?: number | undefined
  readonly idleSessionMs?: number | undefined
  readonly idleInTransactionMs?: number | undefined
}

export interface TargetHost {
  readonly host: string
  readonly port: number
}

/** libpq's target_session_attrs (PostgreSQL manual, "Parameter Key Words"). */
export type SessionAttrs = 'any' | 'read-write' | 'read-only' | 'primary' | 'standby' | 'prefer-standby'

/** TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT. */
export interface Keepalive {
  readonly idleSec: number
  readonly intervalSec: number
  readonly count: number
}

export interface UpstreamTls {
  readonly mode: 'disable' | 'prefer' | 'require' | 'verify-full'
  /** PEM, for verify-full; the system's store where absent. */
  readonly ca?: string
  /** PEM client certificate and key, where the target asks for them. */
  readonly cert?: string
  readonly key?: string
}
