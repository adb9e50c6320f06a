/**
 * Writes down how far a consumer came, beside its work and not in its way: the latest offset of each partition, every
 * `everyMs` at most, one write at a time. What a crash leaves unwritten is handed out again, which at-least-once allows.
 */
import { sleep } from './backoff.ts'

export interface Committer<Partition> {
  add(partition: Partition, next: number): void
  /** Writes what is there without waiting; resolves once nothing is left to write. */
  flush(): Promise<void>
}

/** `commit` must not reject: what it cannot write it logs and forgets. */
export function createCommitter<Partition>(
  everyMs: number,
  commit: (offsets: ReadonlyMap<Partition, number>) => Promise<void>,
): Committer<Partition> {
  const pending = new Map<Partition, number>()
  let hurry = new AbortController()
  let running: Promise<void> | undefined

  async function run(): Promise<void> {
    while (pending.size > 0) {
      await sleep(everyMs, hurry.signal)
      const offsets = new Map(pending)
      pending.clear()
      await commit(offsets)
    }
    running = undefined
  }

  return {
    add(partition, next) {
      pending.set(partition, next)
      running ??= run()
    },
    async flush() {
      hurry.abort()
      await running
      hurry = new AbortController()
    },
  }
}

export const commitEveryMs = 50
