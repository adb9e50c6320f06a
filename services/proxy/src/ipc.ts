/** What the supervisor and its processes say to each other. Secrets of cancel keys pass here, and nowhere else. */
import type { ProxyConfig } from './policy-file.ts'

export type ToSupervisor =
  /** This worker can serve, and waits for a queue to accept from. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'accepting'; readonly queue: number }
  /** A CancelRequest that is for no session of this process. */
  | {
      readonly kind: 'cancel'
      readonly id: number
      readonly processId: number
      readonly secret: Uint8Array
    }
  | { readonly kind: 'cancelled'; readonly id: number; readonly right: boolean }
  /** Asked for by its id; -1: the last word of a process that ends in order. */
  | { readonly kind: 'metrics'; readonly id: number; readonly metrics: object[] }
  /** Why this worker cannot serve now, or nothing. */
  | { readonly kind: 'health'; readonly reasons: readonly string[] }

/** `slot` names a worker among all that live. */
export type StartWorker = { readonly kind: 'start'; readonly config: ProxyConfig; readonly slot: number }

export type ToWorker =
  /** The first message: a worker parses nothing itself. */
  | StartWorker
  /** Comes with the queue's socket. */
  | { readonly kind: 'accept'; readonly queue: number }
  /** Another worker accepts from it now. */
  | { readonly kind: 'leave'; readonly queue: number }
  /** Accept no more, serve the sessions there are for at most so long, then end. */
  | { readonly kind: 'retire'; readonly msMax: number }
  /** From now on these rules hold, for sessions that are open too. */
  | { readonly kind: 'policy'; readonly config: Pick<ProxyConfig, 'policy' | 'policyText'> }
  | { readonly kind: 'cancel'; readonly id: number; readonly processId: number; readonly secret: Uint8Array }
  | { readonly kind: 'cancelled'; readonly id: number; readonly right: boolean }
  | MetricsQuestion

/** The first message here too: the file may have changed since the supervisor read it. */
export type StartAgent = { readonly kind: 'start'; readonly config: ProxyConfig }

export type ToAgent = StartAgent | MetricsQuestion

type MetricsQuestion = { readonly kind: 'metrics'; readonly id: number }

export const lastWord = -1
