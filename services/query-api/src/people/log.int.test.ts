/** Where the bus does not answer nobody is told that they were first; and what it says late or twice changes nothing. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Bus, type Started, systemClock, topics } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { createLog } from '@portcullis/platform/service'
import { sampleSignIn } from '../projector/sample-events.ts'
import { eventually } from '../test-api.ts'
import { startSignInLog } from './log.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-sign-ins-'))
const log = createLog({ service: 'test', level: 'silent' })
const codecs = createCodecs()
let bus: Started<Bus>
before(async () => {
  bus = await connectBus(`lmdb:${dir}`, { logger: log })
  const spec = { topic: topics.signIns, partitions: 1, cleanup: 'delete', retentionMs: -1 } as const
  await bus.value.ensureTopics([spec])
})
after(async () => {
  await bus.stop()
  rmSync(dir, { recursive: true, force: true })
})

const unreadable: unknown[] = []
const start = (over: Partial<Bus> = {}) =>
  startSignInLog({
    bus: { ...bus.value, tail: (options) => bus.value.tail(options), ...over },
    ...{ codecs, clock: systemClock, log, timeoutMs: 100 },
    onUnreadable: (_, error) => unreadable.push(error),
  })
const soonUs = () => systemClock.nowUs() + 60_000_000
const ready = async (started: Awaited<ReturnType<typeof start>>) => {
  await eventually(async () => started.value.problem() === undefined)
  return started.value
}

test('of two replicas one is first, and one that starts later is not', async () => {
  const [one, two] = [await start(), await start()]
  const [first, second] = [await ready(one), await ready(two)]
  for (let round = 0; round < 10; round += 1) {
    const claims = [first, second].map(({ used }) => used.claim(`assertion ${round}`, soonUs()))
    assert.deepEqual((await Promise.all(claims)).sort(), [false, true])
  }
  await one.stop()
  await two.stop()
  const late = await start()
  assert.equal(await (await ready(late)).used.claim('assertion 3', soonUs()), false)
  await late.stop()
})

test('where publishing fails or hangs a claim rejects in its time, and a record does not', async () => {
  for (const publish of [() => Promise.reject(new Error('away')), () => new Promise<void>(() => {})]) {
    const started = await start({ publish })
    const signIns = await ready(started)
    await assert.rejects(signIns.used.claim('x', soonUs()))
    await started.stop()
  }
  const started = await start({ publish: () => Promise.reject(new Error('away')) })
  await (await ready(started)).record({ kind: 'refused' })
  await started.stop()
})

test('before all was read nobody is first', async () => {
  const started = await start({ tail: async () => ({ value: undefined, stop: async () => {} }) })
  await assert.rejects(started.value.used.claim('x', soonUs()), /still being read/)
  assert.match(started.value.problem() ?? '', /not read yet/)
  await started.stop()
})

test('an event that comes twice counts once, and one that nobody can read stops nothing', async () => {
  const started = await start()
  const signIns = await ready(started)
  const use = { ...sampleSignIn('claimed'), ref: 'twice', until: soonUs() }
  const wrong = { ...sampleSignIn('device_refused'), reason: 'wrong_code', at: systemClock.nowUs() }
  await bus.value.publish(
    [
      codecs.signin.encode(use),
      Buffer.from('not avro'),
      codecs.signin.encode(wrong),
      codecs.signin.encode(wrong),
    ].map((value) => ({ topic: topics.signIns, key: 'sign-ins', value })),
  )
  await signIns.used.claim('after', soonUs())
  assert.ok(signIns.state().uses.has('twice'))
  assert.equal(signIns.state().wrongCodes.get('https://idp.example|ann')?.length, 1)
  assert.equal(unreadable.length > 0, true)
  await started.stop()
})
