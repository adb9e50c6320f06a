/** One JSON line for each test that began or ended, for scripts/test.ts to add up. Judges nothing. */
import type { TestEvent } from 'node:test/reporters'
import { inspect } from 'node:util'

/** `begin` is there to name what ran when a file had to be killed. `name` holds the names of the suites around it. */
export type TestRecord = {
  kind: 'begin' | 'pass' | 'fail' | 'skip'
  name: string
  durationMs: number
  detail: string
}

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const around: string[] = []
  for await (const event of source) {
    if (event.type === 'test:start') around[event.data.nesting] = event.data.name
    const record = toRecord(event, around)
    if (record) yield `${JSON.stringify(record)}\n`
  }
}

function toRecord(event: TestEvent, around: readonly string[]): TestRecord | undefined {
  if (event.type === 'test:dequeue') {
    return { kind: 'begin', name: event.data.name, durationMs: 0, detail: '' }
  }
  if (event.type !== 'test:pass' && event.type !== 'test:fail') return undefined
  const { nesting, details, skip, todo } = event.data
  const name = [...around.slice(0, nesting), event.data.name].join(' > ')
  const durationMs = details.duration_ms
  if (event.type === 'test:fail') {
    const { error } = event.data.details
    // What failed inside was reported by itself.
    if ('failureType' in error && error.failureType === 'subtestsFailed') return undefined
    return { kind: 'fail', name, durationMs, detail: inspect(error.cause ?? error, { depth: 6 }) }
  }
  if (skip !== undefined && skip !== false) return { kind: 'skip', name, durationMs, detail: String(skip) }
  if (todo !== undefined && todo !== false) return { kind: 'skip', name, durationMs, detail: 'todo' }
  if (details.type === 'suite') return undefined
  return { kind: 'pass', name, durationMs, detail: '' }
}
