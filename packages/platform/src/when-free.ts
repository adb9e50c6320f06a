/**
 * Waits for a lock of SQLite's by asking again after a fraction of a millisecond. SQLite's own wait asks a dozen times in
 * half a second, at growing intervals, and was seen to come too late each time while three busy processes passed the lock
 * around. Refuses to wait longer than half a second.
 */

const busyMsMax = 500
const pollMsMax = 0.5
const sqliteBusy = 5

/** The result of `step`, tried again while another process holds what it needs. Throws SQLite's error after half a second. */
export function whenFree<T>(step: () => T): T {
  const untilMs = performance.now() + busyMsMax
  for (;;) {
    try {
      return step()
    } catch (error) {
      if (!isBusy(error) || performance.now() > untilMs) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.random() * pollMsMax)
    }
  }
}

/** Extended codes (recovery of the log, a stale snapshot) have the plain one in their low byte. */
function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === sqliteBusy
}
