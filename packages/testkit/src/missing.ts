/** What a test needs and this machine lacks: skipped with the reason, but in CI, where nothing may be skipped, a failure. */
import type { TestContext } from 'node:test'

export function missing(t: TestContext, what: string): void {
  if (process.env.CI) throw new Error(`${what} is missing: .ci/run installs it`)
  t.skip(`no ${what} here`)
}
