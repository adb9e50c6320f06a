import assert from 'node:assert/strict'
import { type ChildProcess, fork, type SendHandle } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type AcceptQueues, openAcceptQueues } from './accept-queues.ts'
import { knock } from '@portcullis/testkit/chaos/storm'

test('the kernel spreads connections over the queues, also over one that came later', async (t) => {
  const queues = await open(t, { size: 2 })
  const acceptors = [await accept(t, queues, 0), await accept(t, queues, 1)]
  queues.grow(3)
  acceptors.push(await accept(t, queues, 2))
  for (let i = 0; i < 120; i++) await knock(queues.port)
  const counts = await Promise.all(acceptors.map(leave))
  for (const count of counts) assert.ok(count > 10, `${counts} of 120`)
})

test('what waits in a queue that nobody accepts from is served by whoever comes next', async (t) => {
  const queues = await open(t, { size: 1 })
  assert.equal(await leave(await accept(t, queues, 0)), 0)
  const waiting = Promise.all(Array.from({ length: 20 }, () => knock(queues.port)))
  await sleep(100)
  const killed = await accept(t, queues, 0)
  await waiting
  killed.kill('SIGKILL')
  await once(killed, 'exit')
  const again = Promise.all(Array.from({ length: 20 }, () => knock(queues.port)))
  const heir = await accept(t, queues, 0)
  await again
  assert.equal(await leave(heir), 20)
})

/** With a socket of its own for each process, about ten of a storm's connections are reset at each close. */
test('under a storm of connects ten hand-overs lose none', async (t) => {
  const queues = await open(t, { size: 2 })
  const acceptors = [await accept(t, queues, 0), await accept(t, queues, 1)]
  let storming = true
  let served = 0
  const storm = Array.from({ length: 32 }, async () => {
    while (storming) await knock(queues.port).then(() => served++)
  })
  let counted = 0
  for (let i = 0; i < 10; i++) {
    const queue = i % 2
    const [old] = acceptors.splice(queue, 1, await accept(t, queues, queue))
    if (old) counted += await leave(old)
  }
  storming = false
  await Promise.all(storm)
  for (const acceptor of acceptors) counted += await leave(acceptor)
  assert.equal(counted, served)
  t.diagnostic(`${served} connections`)
})

/** A socket that is not bound would listen at a port of the kernel's choice. */
test('a port that another holds is refused at once', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  await assert.rejects(openAcceptQueues({ address: `127.0.0.1:${port}`, size: 2 }), { code: 'EADDRINUSE' })
})

test('names and IPv6 are addresses too; an address that is not ours is refused', async (t) => {
  const named = await open(t, { size: 1, address: 'localhost:0' })
  assert.notEqual(named.port, 0)
  const six = await open(t, { size: 1, address: '[::1]:0' })
  await accept(t, six, 0)
  await knock(six.port, '::1')
  await assert.rejects(openAcceptQueues({ address: '192.0.2.1:0', size: 1 }), { code: 'EADDRNOTAVAIL' })
})

test('where the system cannot spread, all queues are one', async (t) => {
  const queues = await open(t, { size: 2, reusePort: false })
  assert.equal(queues.socket(0), queues.socket(1))
  const acceptors = [await accept(t, queues, 0), await accept(t, queues, 1)]
  for (let i = 0; i < 20; i++) await knock(queues.port)
  const counts = await Promise.all(acceptors.map(leave))
  assert.equal((counts[0] ?? 0) + (counts[1] ?? 0), 20)
})

async function open(
  t: TestContext,
  options: { size: number; address?: string; reusePort?: boolean },
): Promise<AcceptQueues> {
  const queues = await openAcceptQueues({ address: '127.0.0.1:0', ...options })
  t.after(() => queues.close())
  return queues
}

async function accept(t: TestContext, queues: AcceptQueues, queue: number): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'acceptor.fixture.ts'), { serialization: 'advanced' })
  t.after(() => child.kill('SIGKILL'))
  child.send('accept', queues.socket(queue) as unknown as SendHandle)
  await once(child, 'message')
  return child
}

/** How many it has served in all; it is gone then. */
async function leave(child: ChildProcess): Promise<number> {
  child.send('leave')
  const [served] = await once(child, 'message')
  return served
}
