/**
 * Row and byte caps of one command: the lesser of what its statement may return and what the sliding window still
 * holds. The relay counts down plain numbers; only at zero does anything happen here.
 */
import type { Caps, Meter, Refusal, SessionBudget } from '@portcullis/kernel'

/** What a session has leased of the window and not yet spent. One command at a time draws on it, or several in a pipeline. */
export interface Pool {
  take(kind: 'rows' | 'bytes', wanted: number): number
  giveBack(kind: 'rows' | 'bytes', unused: number): void
  /** Returns everything to the ledger. */
  drain(): void
}

const leaseChunk = { rows: 1000, bytes: 1_048_576 } as const
/** Beyond this a session returns what it does not use, so that it does not starve its siblings. */
const keepMax = { rows: 1000, bytes: 1_048_576 } as const

export function createPool(budget: SessionBudget): Pool {
  const held = { rows: 0, bytes: 0 }
  const lease = { rows: budget.leaseRows, bytes: budget.leaseBytes }
  const restore = { rows: budget.returnRows, bytes: budget.returnBytes }
  return {
    take(kind, wanted) {
      if (held[kind] < wanted)
        held[kind] += lease[kind].call(budget, Math.max(wanted - held[kind], leaseChunk[kind]))
      const taken = Math.min(wanted, held[kind])
      held[kind] -= taken
      return taken
    },
    giveBack(kind, unused) {
      held[kind] += unused
      if (held[kind] <= keepMax[kind]) return
      restore[kind].call(budget, held[kind] - keepMax[kind])
      held[kind] = keepMax[kind]
    },
    drain() {
      for (const kind of ['rows', 'bytes'] as const) {
        if (held[kind] > 0) restore[kind].call(budget, held[kind])
        held[kind] = 0
      }
    },
  }
}

export type CapReason = 'cap_rows_statement' | 'cap_bytes_statement' | 'cap_rows_window' | 'cap_bytes_window'

export interface CommandMeter extends Meter {
  /** Gives back what was granted and not used. It may go on later: what was used stays counted. */
  settle(): void
}

/** For everyone without caps on results: counting down from infinity changes nothing, so all may share it. */
const unlimited: CommandMeter = {
  rowsLeft: Infinity,
  bytesLeft: Infinity,
  refill: () => undefined,
  settle: () => undefined,
}

/** For what belongs to no command: the window's bytes alone, and never more of them than it needs. */
export function createAsideMeter(caps: Caps, pool: Pool, refuse: (reason: CapReason) => Refusal): Meter {
  const { bytesPerWindow } = caps
  if (bytesPerWindow === undefined) return unlimited
  const meter: Meter = {
    rowsLeft: Infinity,
    bytesLeft: 0,
    refill(_rows, bytes) {
      const got = pool.take('bytes', bytes - meter.bytesLeft)
      meter.bytesLeft += got
      return meter.bytesLeft < bytes ? refuse('cap_bytes_window') : undefined
    },
  }
  return meter
}

export function createMeter(caps: Caps, pool: Pool, refuse: (reason: CapReason) => Refusal): CommandMeter {
  const { rowsPerStatement, bytesPerStatement, rowsPerWindow, bytesPerWindow } = caps
  if ((rowsPerStatement ?? bytesPerStatement ?? rowsPerWindow ?? bytesPerWindow) === undefined)
    return unlimited
  const limits = {
    rows: {
      statement: caps.rowsPerStatement ?? Infinity,
      windowed: caps.rowsPerWindow !== undefined,
      granted: 0,
    },
    bytes: {
      statement: caps.bytesPerStatement ?? Infinity,
      windowed: caps.bytesPerWindow !== undefined,
      granted: 0,
    },
  }
  const left = { rows: 'rowsLeft', bytes: 'bytesLeft' } as const

  const grow = (kind: 'rows' | 'bytes', needed: number): Refusal | undefined => {
    const limit = limits[kind]
    if (limit.statement - limit.granted < needed) return refuse(`cap_${kind}_statement`)
    const wanted = limit.windowed
      ? Math.min(limit.statement - limit.granted, Math.max(needed, leaseChunk[kind]))
      : limit.statement - limit.granted
    const got = limit.windowed ? pool.take(kind, wanted) : wanted
    limit.granted += got
    meter[left[kind]] += got
    return got < needed ? refuse(`cap_${kind}_window`) : undefined
  }

  const meter: CommandMeter = {
    rowsLeft: limits.rows.windowed ? 0 : limits.rows.statement,
    bytesLeft: limits.bytes.windowed ? 0 : limits.bytes.statement,
    refill(rows, bytes) {
      if (meter.rowsLeft < rows) {
        const refused = grow('rows', rows - meter.rowsLeft)
        if (refused) return refused
      }
      return meter.bytesLeft < bytes ? grow('bytes', bytes - meter.bytesLeft) : undefined
    },
    settle() {
      for (const kind of ['rows', 'bytes'] as const) {
        const unused = Math.max(0, meter[left[kind]])
        if (limits[kind].windowed) pool.giveBack(kind, unused)
        limits[kind].granted -= unused
        meter[left[kind]] = 0
      }
    },
  }
  limits.rows.granted = limits.rows.windowed ? 0 : meter.rowsLeft
  limits.bytes.granted = limits.bytes.windowed ? 0 : meter.bytesLeft
  return meter
}
