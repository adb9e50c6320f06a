/** Limits that hold in the proxy alone, per target and identity. undefined: no limit. */
export interface Caps {
  readonly rowsPerStatement?: number
  readonly bytesPerStatement?: number
  readonly rowsPerWindow?: number
  readonly bytesPerWindow?: number
  /** Length of the sliding window, milliseconds. */
  readonly windowMs: number
  readonly commandsPerSecond?: number
  readonly sessions?: number
}

/**
 * One budget a host, shared by its proxy processes through leases from one ledger, surviving a restart. What a dead
 * process had leased counts as spent, so the caps are never exceeded; up to the outstanding leases may go unused.
 */
export interface Budgets {
  /** Takes one of `caps.sessions`, or returns undefined when all are taken. */
  open(target: string, identityKey: string, caps: Caps): SessionBudget | undefined
}

export interface SessionBudget {
  /**
   * 0 when `count` commands may run now (and takes them), else milliseconds until some may; nothing is taken then. Where
   * one may run all do, and those that come later wait for the rest: commands of one message cannot be parted.
   */
  takeCommands(count: number): number
  /** The same against a verdict's rate, over the whole host: `share` of it is this host's. */
  takeThrottled(verdictId: string, ratePerMinute: number, count: number): number
  /**
   * 0 when `count` more of what `name` stands for keep to `mostPerHour` (and counts them), else milliseconds until some may.
   * For this identity and target, in any hour, over the whole host: `share` of it is this host's.
   */
  takeCounted(name: string, mostPerHour: number, count: number): number
  /** Leases up to `wanted` rows of the window; less where little is left, 0 where none is. Infinity where no cap is set. */
  leaseRows(wanted: number): number
  leaseBytes(wanted: number): number
  /** Gives back what was leased and not used. */
  returnRows(unused: number): void
  returnBytes(unused: number): void
  /** Milliseconds until some of the window's rows or bytes come free. */
  windowFreesInMs(): number
  close(): void
}
