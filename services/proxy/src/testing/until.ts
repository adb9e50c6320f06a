import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves once it is so; fails after 15 s. */
export async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 15_000
  while (!condition()) {
    assert.ok(performance.now() < deadlineMs, `not so after 15 s: ${condition}`)
    await sleep(10)
  }
}
