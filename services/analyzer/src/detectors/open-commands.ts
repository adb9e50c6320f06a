/**
 * Commands that were seen before they finished, so that a later phase of the same command is not taken for another one.
 * Bounded: an identity that has more of them open at once has its oldest forgotten, and counted again when it finishes.
 */
import type { CommandEvent } from '@portcullis/kernel'

export interface OpenCommand {
  id: string
  rows: number
  bytes: number
}

const openMax = 64

/** What this event adds to what was counted of its command before. Only reads. */
export function progressOf(
  open: readonly OpenCommand[],
  event: CommandEvent,
): { first: boolean; rows: number; bytes: number } {
  const before = open.find(({ id }) => id === event.commandId)
  return {
    first: before === undefined,
    rows: Math.max(0, event.rowsOut - (before?.rows ?? 0)),
    bytes: Math.max(0, event.bytesOut - (before?.bytes ?? 0)),
  }
}

/** Remembers or forgets the event's command. Changes `open`. */
export function follow(open: OpenCommand[], event: CommandEvent): void {
  const at = open.findIndex(({ id }) => id === event.commandId)
  if (at >= 0) open.splice(at, 1)
  if (event.phase === 'finished') return
  open.push({ id: event.commandId, rows: event.rowsOut, bytes: event.bytesOut })
  if (open.length > openMax) open.shift()
}

/** The gate refused it: it shows what was wanted, and teaches nothing about what is normal. */
export function isRefused(event: CommandEvent): boolean {
  return event.outcome === 'refused'
}
