/**
 * The folded control state as text, so that a proxy started without a bus can serve from what it knew. It refuses a
 * text of another version: the reader then folds the log anew, which always gives the same state.
 */
import type { ControlFold, ControlState, HandVerdict, Lifting } from './control.ts'

const version = 1

export function controlToJson(state: ControlState): string {
  return JSON.stringify({
    version,
    nextOffset: state.nextOffset,
    versions: [...state.versions],
    verdicts: [...state.verdicts],
    lifted: [...state.lifted],
    seen: [...state.seen],
    skipped: state.skipped,
    rejected: state.rejected,
  })
}

/** The state, or undefined where the text is of another version. Throws SyntaxError where it is not JSON. */
export function controlFromJson(text: string): ControlFold | undefined {
  const read: Snapshot = JSON.parse(text)
  if (read === null || typeof read !== 'object' || read.version !== version) return undefined
  return {
    nextOffset: read.nextOffset,
    versions: new Map(read.versions),
    verdicts: new Map(read.verdicts),
    lifted: new Map(read.lifted),
    seen: new Set(read.seen),
    skipped: read.skipped,
    rejected: read.rejected,
  }
}

interface Snapshot {
  readonly version: number
  readonly nextOffset: number
  readonly versions: readonly [string, number][]
  readonly verdicts: readonly [string, HandVerdict][]
  readonly lifted: readonly [string, Lifting][]
  readonly seen: readonly string[]
  readonly skipped: number
  readonly rejected: number
}
