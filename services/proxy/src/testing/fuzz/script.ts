/**
 * What the fuzzer plays: exact bytes and orders in their order, with nothing random left in them, so that a found case
 * can be kept as a file and replayed as it was.
 */
import type { Caps, Timeouts, VerdictAction } from '@portcullis/kernel'

/** One thing that happens to a session. Byte strings are hexadecimal. */
export type Step =
  /** The client's socket brings these bytes. */
  | { readonly client: string }
  /** The server's socket brings these bytes, whatever it was asked. */
  | { readonly server: string }
  /** The model of a server answers up to so many messages that have reached it, in pieces of at most `cut` bytes. */
  | { readonly answer: number; readonly cut: number }
  /** Only this verdict stands from now on. */
  | { readonly verdict: VerdictAction | 'none'; readonly cancelRunning?: boolean }
  /** The client's CancelRequest has come. */
  | { readonly cancel: true }
  /** A peer stops (or goes on) taking what is written to it. */
  | { readonly slow: 'client' | 'server'; readonly is: boolean }
  /** Nothing can be recorded, or can again. */
  | { readonly recording: boolean }
  /** The proxy stops. */
  | { readonly drain: true }
  /** The server's connection breaks. */
  | { readonly lost: 'server' | 'client' }
  /** So many turns of the event loop pass. */
  | { readonly turns: number }

export interface ScriptOptions {
  readonly durability: 'process' | 'disk'
  readonly caps: Omit<Caps, 'windowMs'>
  readonly timeouts: Timeouts
  readonly statementBytesMax: number
  /** Turns of the event loop that reading a text of over 1000 bytes takes; 0 for none. */
  readonly readingTurns: number
  /** Turns that a CancelRequest is on its way. */
  readonly cancelTurns: number
  /** Every so many units wait a moment for the rate, as a throttled session's do; 0 for none. */
  readonly waitEvery: number
  /** Turns that people take to answer about what is held; absent: nobody is asked. */
  readonly peopleTurns?: number
}

export interface Script {
  readonly options: ScriptOptions
  readonly steps: readonly Step[]
  /** Messages of both sides, mutated or not. */
  readonly frames: number
}

/** A script with what it is about, as it lies in fuzz-corpus. */
export interface KeptCase {
  /** What went wrong, and what mended it. */
  readonly about: string
  readonly script: Script
}

export const plainOptions: ScriptOptions = {
  durability: 'process',
  caps: {},
  timeouts: {},
  statementBytesMax: 65_536,
  readingTurns: 0,
  cancelTurns: 1,
  waitEvery: 0,
}
