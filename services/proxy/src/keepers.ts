/** Who accepts from which queue. Pure: it says who should, and leaves it to others to make it so. */

/** A worker that can accept; `home` is the queue it was started for. */
export interface Candidate {
  readonly slot: number
  readonly home: number
}

/**
 * The slot that should accept from each queue: the worker whose home it is (of several the last in `able`, which are in
 * the order they were started); else whoever does now; else the one with the fewest queues, standing in for a worker
 * that died or is no longer wanted. For a queue that was never accepted from (not in `open`) nobody stands in: nothing can
 * wait in it, and the first worker of a start would take everybody's clients. Empty where nobody can.
 */
export function chooseKeepers(
  queues: number,
  open: ReadonlySet<number>,
  now: ReadonlyMap<number, number>,
  able: readonly Candidate[],
): Map<number, number> {
  const chosen = new Map<number, number>()
  const load = new Map(able.map(({ slot }) => [slot, 0]))
  const choose = (queue: number, slot: number) => {
    chosen.set(queue, slot)
    load.set(slot, (load.get(slot) ?? 0) + 1)
  }
  for (const { slot, home } of able) if (home < queues) chosen.set(home, slot)
  for (const slot of chosen.values()) load.set(slot, 1)
  for (let queue = 0; queue < queues; queue++) {
    if (chosen.has(queue) || !open.has(queue)) continue
    const present = now.get(queue)
    if (present !== undefined && load.has(present)) choose(queue, present)
    else {
      const [idlest] = [...load].sort(([, a], [, b]) => a - b)
      if (idlest) choose(queue, idlest[0])
    }
  }
  return chosen
}
