/** A suite on a fresh cluster, directly or through the gate with an empty policy, as the superuser both times. */
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import type { PostgresBinaries } from '@portcullis/testkit/postgres-binaries'
import { startSystem } from '@portcullis/testkit/system'
import type { SuiteRun, Way } from './side-by-side.ts'

export interface Task {
  readonly binaries: PostgresBinaries
  /** What the tests expect to find. */
  prepare?(postgres: Postgres): Promise<void>
  run(way: Way): Promise<SuiteRun>
}

export async function runDirect(task: Task): Promise<SuiteRun> {
  return onFreshServer(task, ({ host, port, user, password, database }) =>
    task.run({ name: 'direct', host, port, user, password, database }),
  )
}

/** `events`: what the gate put on the bus, which shows that the tests really went through it. */
export async function runThroughGate(task: Task): Promise<SuiteRun & { readonly events: number }> {
  return onFreshServer(task, async (postgres) => {
    const { host, user, database } = postgres
    // Named as the superuser is: some suites have a user name in their source.
    const system = await startSystem({ postgres, targets: [user], parts: ['proxy'] })
    try {
      const port = system.value.port()
      const password = await system.value.token('suite')
      const run = await task.run({ name: 'gate', host, port, user, password, database })
      return { ...run, events: await shippedEvents(system.value.healthUrl('proxy')) }
    } finally {
      await system.stop()
    }
  })
}

async function onFreshServer<T>(task: Task, run: (postgres: Postgres) => Promise<T>): Promise<T> {
  // What a server has by default; startPostgres' own defaults are for small tests.
  const settings = { autovacuum: true, shared_buffers: '128MB', max_prepared_transactions: 10 }
  const postgres = await startPostgres({ version: task.binaries, auth: 'password', settings })
  try {
    await task.prepare?.(postgres.value)
    return await run(postgres.value)
  } finally {
    await postgres.stop()
  }
}

async function shippedEvents(healthUrl: string): Promise<number> {
  const metrics = await (await fetch(`${healthUrl}/metrics`)).text()
  const counts = metrics.matchAll(/^portcullis_shipped_events(?:_total)?(?:\{[^}]*\})? (\d+)/gm)
  return Array.from(counts, ([, count]) => Number(count)).reduce((sum, count) => sum + count, 0)
}
