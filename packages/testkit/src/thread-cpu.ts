/**
 * CPU time of the thread that asks, for measurements of short pieces of work. `process.threadCpuUsage()` alone will not
 * do: Linux brings a running thread's count up to date only at a tick of its scheduler, which comes every 4 ms where it
 * ticks 250 times a second, so that a piece of 20 us now and then takes 4 ms by that count. Asked for the whole
 * process's (getrusage(2), RUSAGE_SELF), it first brings the asking thread's up to date. Costs some 3 us of that time.
 */

/** Microseconds since the thread began. */
export function threadCpuUs(): number {
  process.cpuUsage()
  const { user, system } = process.threadCpuUsage()
  return user + system
}
