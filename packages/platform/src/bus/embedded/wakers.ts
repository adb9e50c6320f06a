/**
 * Between a topic's bell and the readers of its partitions: one look at the ends for each ring, however many readers
 * there are, and only those are woken whose partition grew.
 */
import type { Bell } from './bell.ts'

/** Returns TopicLog.listen. */
export function createWakers(
  bell: Bell,
  ends: () => number[],
): (partition: number, wake: () => void) => () => void {
  const wakers = new Set<{ readonly partition: number; readonly wake: () => void }>()
  let known: number[] | undefined
  let unlisten: (() => void) | undefined

  function onRing(): void {
    let now: number[] | undefined
    try {
      now = ends()
    } catch {
      // Unreadable: let every reader find out for itself and say so.
      now = undefined
    }
    for (const { partition, wake } of wakers)
      if (now === undefined || known === undefined || now[partition] !== known[partition]) wake()
    known = now
  }

  return (partition, wake) => {
    const waker = { partition, wake }
    wakers.add(waker)
    unlisten ??= bell.listen(onRing)
    return () => {
      wakers.delete(waker)
      if (wakers.size > 0) return
      unlisten?.()
      unlisten = undefined
    }
  }
}
