/**
 * Follows the verdicts and control topics, both in full, and says what stands. It folds the logs anew at each start, so
 * that nothing but the logs decides; until it has read them to their end, what the predecessor knew last stands too. It
 * refuses to call itself fresh on anything but a bus that was read to its end and can be read now.
 */
import {
  type Approval,
  type Bus,
  type Clock,
  type ControlEvent,
  type Holdings,
  type Received,
  type Rejection,
  type Started,
  topics,
  type Verdict,
} from '@portcullis/kernel'
import { createStandingFold, type Decoders } from './fold.ts'
import { openStateFile } from './state-file.ts'

export interface FollowerLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface FollowerOptions {
  /** Where the state is kept. */
  readonly dir: string
  readonly decoders: Decoders
  readonly clock: Clock
  readonly log: FollowerLog
  onChange(set: readonly Verdict[], removed: readonly string[]): void
  onHoldings(holdings: Holdings): void
  /** Those that have changed, once the log was read to its end: what stands in the middle of it is of no use. */
  onApprovals(changed: readonly Approval[]): void
  /** Each event of the control log, with why the fold refused it. */
  onControl(event: ControlEvent, rejection: Rejection | undefined): void
}

export interface Follower {
  /** Begins to follow; resolves when the bus has taken the request. Until then what was stored stands. */
  attach(bus: Bus): Promise<void>
  standing(): readonly Verdict[]
  holdings(): Holdings
  /** None before the log was read to its end: those are not stored. */
  approvals(): Iterable<Approval>
  /** Whether the log was read to its end, and can be read now. */
  isFresh(): boolean
  /** Last time the bus was known to be read to its end, microseconds since 1970 UTC; 0 for never. */
  freshAtUs(): number
  /** Records that did not decode or were refused. */
  refused(): number
}

const tickMs = 1000
/** A change is stored at once, and the next ones at most so often. */
const storeEveryMs = 100
const storeFreshEveryMs = 5000

export function createFollower(options: FollowerOptions): Started<Follower> {
  const { clock, log } = options
  const file = openStateFile(options.dir, (path, error) =>
    log.error({ err: error, path }, 'the stored state does not read; nothing is known until the bus is read'),
  )
  const stored = file.read()
  /** What the predecessor knew; undefined once the logs were read to their end. */
  let inherited: readonly Verdict[] | undefined = stored.verdicts
  let holdings = stored.holdings
  let freshAtUs = stored.freshAtUs
  let standing = new Map<string, Verdict>()
  let healthy = false
  let refused = 0
  let tail: Started<void> | undefined
  let storedFreshAtUs = freshAtUs
  let isDirty = false
  let isHoldingsDirty = false
  let storing: NodeJS.Timeout | undefined
  let storedAtMs = Number.NEGATIVE_INFINITY
  const fold = createStandingFold(
    options.decoders,
    ({ topic, partition, offset }, why) => {
      refused++
      log.error({ topic, partition, offset, why: String(why) }, 'a record was not taken into the state')
    },
    options.onControl,
  )
  refresh()
  const timer = setInterval(tick, tickMs)

  return {
    value: {
      attach,
      standing: () => Array.from(standing.values()),
      holdings: () => holdings,
      approvals: () => (inherited ? [] : fold.approvals().values()),
      isFresh,
      freshAtUs: currentFreshAtUs,
      refused: () => refused,
    },
    async stop() {
      clearInterval(timer)
      clearTimeout(storing)
      await tail?.stop()
      store(true)
    },
  }

  async function attach(bus: Bus): Promise<void> {
    tail = await bus.tail({
      topics: [topics.verdicts, topics.control],
      from: 'earliest',
      onBatch(records: readonly Received[]) {
        fold.apply(records)
        refresh()
      },
      onCaughtUp() {
        inherited = undefined
        healthy = true
        // That nothing stands is knowledge too: without it a successor would not know what it is fresh about.
        isDirty = true
        refresh()
        log.info({ verdicts: standing.size }, 'verdicts and control are read to their end')
      },
      onHealth(isHealthy) {
        currentFreshAtUs()
        healthy = isHealthy
      },
    })
  }

  function isFresh(): boolean {
    return healthy && !inherited
  }

  function currentFreshAtUs(): number {
    if (isFresh()) freshAtUs = clock.nowUs()
    return freshAtUs
  }

  /** Tells what differs from what was told before. */
  function refresh(): void {
    const nowUs = clock.nowUs()
    const now = fold.standing(nowUs)
    for (const verdict of inherited ?? [])
      if (verdict.until > nowUs && !now.has(verdict.verdictId) && !fold.isLifted(verdict.verdictId))
        now.set(verdict.verdictId, verdict)
    const set = Array.from(now.values()).filter((verdict) => standing.get(verdict.verdictId) !== verdict)
    const removed = Array.from(standing.keys()).filter((id) => !now.has(id))
    standing = now
    const haveChanged = set.length > 0 || removed.length > 0
    if (haveChanged) {
      isDirty = true
      options.onChange(set, removed)
    }
    const approvals = inherited ? [] : fold.takeChangedApprovals()
    if (approvals.length > 0) options.onApprovals(approvals)
    // Half a log could bring back what a later event of it took away.
    const held = inherited ? holdings : fold.holdings()
    if (held !== holdings) {
      holdings = held
      isHoldingsDirty = true
      options.onHoldings(held)
    } else if (!haveChanged) return
    // After it was told, which is urgent; but soon, for a successor must not forget what is enforced already.
    storing ??= setTimeout(
      () => {
        storing = undefined
        store(false)
      },
      Math.max(0, storedAtMs + storeEveryMs - clock.monotonicMs()),
    )
  }

  function tick(): void {
    refresh()
    store(false)
  }

  function store(isLast: boolean): void {
    const atUs = currentFreshAtUs()
    try {
      if (isDirty) file.writeVerdicts(Array.from(standing.values()))
      isDirty = false
      if (isHoldingsDirty) file.writeHoldings(holdings)
      isHoldingsDirty = false
      storedAtMs = clock.monotonicMs()
      if (atUs === storedFreshAtUs || (!isLast && atUs - storedFreshAtUs < storeFreshEveryMs * 1000)) return
      file.writeFresh(atUs)
      storedFreshAtUs = atUs
    } catch (error) {
      log.error({ err: error }, 'the folded state cannot be stored; a restart without a bus would know less')
    }
  }
}
