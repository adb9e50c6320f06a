/** How a proxy ends: in order when it is told to, and wholly when its supervisor is killed, also while it is starting. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'

const proxy = 'proxy:gate-1'
let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  postgres = await startPostgres()
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    extra: { proxy: 'drainSecMax: 20' },
  })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
})

/** It used to wait for the last connection before it told anybody that it was stopping. */
test('a stop tells an idle session at once and ends, long before the deadline for those that work', async () => {
  const client = new pg.Client({ connectionString: `${await system.value.url('idle')}postgres` })
  const told = new Promise<Error & { code?: string }>((resolve) => client.on('error', resolve))
  await client.connect()
  const startMs = performance.now()
  await system.value.stopPart(proxy)
  const tookMs = performance.now() - startMs
  assert.equal((await told).code, '57P01')
  assert.ok(tookMs < 10_000, `stopped after ${tookMs} ms`)
  await system.value.startPart(proxy)
})

test('a supervisor that is killed leaves no process of its own behind', async () => {
  const client = new pg.Client({ connectionString: `${await system.value.url('orphan')}postgres` })
  client.on('error', () => undefined)
  await client.connect()
  const orphans = family()
  assert.equal(orphans.length, 3)
  await system.value.kill9(proxy, 'alone')
  await gone(orphans)
})

/** Workers used to listen before the agent had told them anything, and refused with control_stale what they got. */
test('a proxy that comes back refuses nobody from its first connection on', async () => {
  const url = `${await system.value.url('early')}postgres`
  const killed = system.value.pid('proxy')
  const back = system.value.kill9(proxy)
  const agent = () =>
    system.value.pid('proxy') === killed ? [] : system.value.childrenOf('proxy', 'src/agent/main.ts')
  while (agent().length === 0) await sleep(5)
  // As on a machine that is busy: the workers are ready long before the agent.
  const [slow = 0] = agent()
  process.kill(slow, 'SIGSTOP')
  setTimeout(() => process.kill(slow, 'SIGCONT'), 3000)
  const refusals: string[] = []
  let served = 0
  while (served < 20) {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => undefined)
    try {
      await client.connect()
      await client.query('select 1')
      served++
    } catch (error) {
      // Nobody listens yet: that is no refusal.
      if (error instanceof pg.DatabaseError) refusals.push(error.message)
    }
    await client.end()
    assert.ok(refusals.length < 100, String(refusals[0]))
  }
  await back
  assert.deepEqual(refusals, [])
})

/** A worker used to listen for its supervisor's end only once it had started, and then served on for ever. */
test('nor where it is killed while they start', async () => {
  await system.value.stopPart(proxy)
  const starting = system.value.startPart(proxy).catch(() => undefined)
  while (family().length < 3) await sleep(10)
  // Each has its first message by now, and none of them listens yet.
  await sleep(300)
  const orphans = family()
  process.kill(system.value.pid('proxy'), 'SIGKILL')
  await gone(orphans)
  await starting
})

function family(): number[] {
  return system.value.childrenOf('proxy', 'services/proxy/src/')
}

async function gone(pids: readonly number[]): Promise<void> {
  const deadlineMs = performance.now() + 10_000
  while (pids.some(isThere)) {
    assert.ok(performance.now() < deadlineMs, `still there: ${pids.filter(isThere)}`)
    await sleep(50)
  }
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
