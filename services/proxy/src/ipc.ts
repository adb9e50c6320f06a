/** What the supervisor and its workers say to each other. Secrets of cancel keys pass here, and nowhere else. */
import type { Config } from '@portcullis/config'

export type ToSupervisor =
  | { readonly kind: 'listening'; readonly host: string; readonly port: number }
  /** A CancelRequest for a session of another process. */
  | {
      readonly kind: 'cancel'
      readonly id: number
      readonly slot: number
      readonly processId: number
      readonly secret: Uint8Array
    }
  | { readonly kind: 'cancelled'; readonly id: number; readonly right: boolean }
  | { readonly kind: 'metrics'; readonly id: number; readonly metrics: object[] }
  /** Why this worker cannot serve now, or nothing. */
  | { readonly kind: 'health'; readonly reasons: readonly string[] }

export type ToWorker =
  /** The first message: a worker parses nothing itself. */
  | { readonly kind: 'start'; readonly config: Config; readonly slot: number; readonly port: number }
  | { readonly kind: 'cancel'; readonly id: number; readonly processId: number; readonly secret: Uint8Array }
  | { readonly kind: 'cancelled'; readonly id: number; readonly right: boolean }
  | { readonly kind: 'metrics'; readonly id: number }
