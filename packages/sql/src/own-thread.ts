// What Linux tells of one thread of a process: Node names none of its threads to the system. Elsewhere, and where /proc
// is not mounted, it knows nothing, and says so.
import { readFileSync, readlinkSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'

/** The system's number of the calling thread. */
export function ownThread(): number | undefined {
  try {
    const thread = /\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self'))?.[1]
    return thread === undefined ? undefined : Number(thread)
  } catch {
    return undefined
  }
}

/** CPU milliseconds that a thread of this process has had, exact to a tick of the scheduler. */
export function cpuMsOf(thread: number | undefined): number | undefined {
  if (thread === undefined) return undefined
  try {
    return Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1e6
  } catch {
    return undefined
  }
}

/** Lets the other threads go first, which on Linux can be said of one thread alone: setpriority(2), "C library/kernel differences". */
export function yieldToOthers(): void {
  if (process.platform === 'linux') setPriority(Math.min(getPriority() + niceness, nicest))
}

/** A third of the weight of what it began with, sched(7): behind the sessions, and yet never starved by them. */
const niceness = 5
const nicest = 19
