import type { Socket } from 'node:net'
import type { Analysis, CommandResult } from './command.ts'
import type { Refusal } from './decision.ts'
import type { Identity, Origin } from './identity.ts'

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
  readonly token: string
  readonly client: string
  readonly tls: string
}

/** Commands that are forwarded or refused together: one message of the wire. `statements` has at least one. */
export interface Unit {
  readonly analyses: readonly Analysis[]
  readonly receivedAt: number
  readonly attributes?: Readonly<Record<string, string>>
}

/** A command that was recorded; its meter is counted down in place on the way back. */
export interface Command {
  readonly number: number
  readonly id: string
  readonly analysis: Analysis
  readonly startedAt: number
  readonly meter: Meter
}

/** What may still pass for a running command. The relay subtracts; at zero it asks for more, and cuts when there is none. */
export interface Meter {
  rowsLeft: number
  bytesLeft: number
  /** Makes both positive where that is allowed and returns undefined, else the refusal to cut with. */
  refill(): Refusal | undefined
}

/** The protocol's side of `Session.pass`. Calls come in the order of the units. */
export interface Road {
  /** The unit stands recorded: forward its bytes. */
  forward(unit: Unit, commands: readonly Command[]): void
  /** The unit is refused as a whole; none of it may be forwarded. Outcomes are already recorded. */
  refuse(unit: Unit, refusal: Refusal): void
  /** Before a wait (throttle, hold): a protocol may tell its client. */
  waiting?(unit: Unit, reason: string, waitMs: number): void
}

export interface Session {
  readonly id: string
  readonly identity: Identity
  readonly target: TargetAccess
  /**
   * The only road from a client to a target: decide -> record -> forward or refuse, for each unit in order. Stops
   * after the first refusal (the protocol knows what a refusal makes of the units behind it) and returns how many
   * units were taken. Returns a promise where a unit must wait or the record needs the disk; the protocol reads no
   * further from its client meanwhile. Rejects only when the session was closed meanwhile.
   */
  pass(units: readonly Unit[], road: Road): number | Promise<number>
  /** Exactly once for each forwarded command. */
  finish(command: Command, result: CommandResult): void
  /** The protocol registers once how to carry out what comes from outside. */
  onOrder(orders: SessionOrders): void
  /** Exactly once, when the connection is gone. `detail` says why in words. */
  close(detail: string): void
}

/** What others may ask of a live session. */
export interface SessionOrders {
  /** End the session: cancel what runs, tell the client in its own language, close. */
  kill(refusal: Refusal): void
  /** Cut the running command, keep the session. */
  cancelRunning(refusal: Refusal): void
  /** Current counts of the commands that run, for progress events. */
  running(): readonly { command: Command; result: CommandResult }[]
}

/** How to reach the target as the session's role. Only the protocol's upstream side may read `credentials`. */
export interface TargetAccess {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly database: string
  readonly tls: UpstreamTls
  readonly credentials: { readonly user: string; readonly password: string }
  readonly connectTimeoutMs: number
}

export interface UpstreamTls {
  readonly mode: 'disable' | 'prefer' | 'require' | 'verify-full'
  /** PEM, for verify-full; the system's store where absent. */
  readonly ca?: string
  /** PEM client certificate and key, where the target asks for them. */
  readonly cert?: string
  readonly key?: string
}
