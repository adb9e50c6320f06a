/** A worker's parts as a process of their own, without agent and supervisor: services/proxy/src/testing/bed.fixture.ts. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Started } from '@portcullis/kernel'
import type { Postgres } from '@portcullis/testkit/postgres'
import type { Side } from './sides.ts'

const fixture = join(import.meta.dirname, '../../services/proxy/src/testing/bed.fixture.ts')
/** As the supervisor starts a worker. */
const execArgv = ['--liftoff-only', '--max-semi-space-size=2', '--no-parallel-scavenge']

export type BedKind = 'real' | 'none'

export interface BedProcess extends Side {
  readonly name: BedKind
  /** CPU milliseconds of the longest turn of its event loop while `work` ran. The loop spins meanwhile. */
  longestTurnMs(work: () => Promise<void>): Promise<number>
}

/** With the recorder, or with one that drops everything; with rules, or without. */
export async function startBedProcess(
  name: BedKind,
  { host, port, user, password, database }: Postgres,
  policy?: string,
): Promise<Started<BedProcess>> {
  const target = JSON.stringify({ host, port, user, password, database })
  const child = fork(fixture, [name, target, ...(policy === undefined ? [] : [policy])], { execArgv })
  const gone = once(child, 'exit')
  const said = await Promise.race([
    once(child, 'message') as Promise<[{ port: number }]>,
    gone.then(() => {
      throw new Error(`the bed with recorder ${name} did not start`)
    }),
  ])
  return {
    value: {
      name,
      port: said[0].port,
      user: 'shop',
      password: 'bench',
      parts: () => ({ worker: [child.pid ?? 0] }),
      async longestTurnMs(work) {
        child.send('watch')
        await work()
        child.send('tell')
        const [{ longestTurnMs }] = (await once(child, 'message')) as [{ longestTurnMs: number }]
        return longestTurnMs
      },
    },
    async stop() {
      child.disconnect()
      await gone
    },
  }
}
