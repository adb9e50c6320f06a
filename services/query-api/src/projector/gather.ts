/**
 * Gathers the batches of many partitions into one write: ClickHouse takes few large inserts far better than many small
 * ones. Holds at most one batch of each partition, since a partition's next one comes only after its write; so the bus
 * is slowed by the store, and not the heap filled.
 */
export interface Gather<Item> {
  /** Resolves when all of these are written; rejects with what the write threw. */
  add(items: readonly Item[]): Promise<void>
  /** Writes what is there at once, and takes nothing more. */
  close(): Promise<void>
}

export interface GatherOptions<Item> {
  readonly write: (items: readonly Item[]) => Promise<void>
  /** How long a lone item waits for others: so long, or twice the last write (a slow store is asked less often). */
  readonly waitMs: number
  /** But never longer than this. */
  readonly waitMsMax: number
  /** From so many on the wait is over: there is a backlog, and waiting only slows it. */
  readonly hurryAt: number
  /** At most so many in one write, but never less than one `add`. */
  readonly itemsMax: number
}

interface Waiting<Item> {
  readonly items: readonly Item[]
  readonly done: () => void
  readonly failed: (cause: unknown) => void
}

export function createGather<Item>(options: GatherOptions<Item>): Gather<Item> {
  const waiting: Waiting<Item>[] = []
  let held = 0
  let writing: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let due = false
  let lastWriteMs = 0
  let closed = false

  function arrange(): void {
    if (writing || waiting.length === 0) return
    if (closed || due || held >= options.hurryAt) {
      clearTimeout(timer)
      timer = undefined
      due = false
      writing = writeSome().finally(() => {
        writing = undefined
        arrange()
      })
    } else {
      timer ??= setTimeout(() => {
        timer = undefined
        due = true
        arrange()
      }, waitMs())
    }
  }

  function waitMs(): number {
    return Math.min(Math.max(options.waitMs, 2 * lastWriteMs), Math.max(options.waitMs, options.waitMsMax))
  }

  async function writeSome(): Promise<void> {
    const taken: Waiting<Item>[] = []
    const items: Item[] = []
    for (let next = waiting[0]; next; next = waiting[0]) {
      if (taken.length > 0 && items.length + next.items.length > options.itemsMax) break
      taken.push(next)
      for (const item of next.items) items.push(item)
      waiting.shift()
    }
    held = waiting.reduce((sum, { items: some }) => sum + some.length, 0)
    const startedMs = performance.now()
    try {
      await options.write(items)
      lastWriteMs = performance.now() - startedMs
      for (const { done } of taken) done()
    } catch (cause) {
      for (const { failed } of taken) failed(cause)
    }
  }

  return {
    add(items) {
      return new Promise((done, failed) => {
        waiting.push({ items, done, failed })
        held += items.length
        arrange()
      })
    },
    async close() {
      closed = true
      arrange()
      while (writing) await writing
    },
  }
}
