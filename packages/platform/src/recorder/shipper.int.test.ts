/** The shipper runs as long as its host does: what it leaves behind at every look adds up. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { queryObjects } from 'node:v8'
import { systemClock, topics } from '@portcullis/kernel'
import { createCodecs } from '../codec.ts'
import { connectBus } from '../connect.ts'
import { quiet } from './quiet.fixture.ts'
import { allow, analysisOf, intentOf, ok, sessionRecord } from './sample.fixture.ts'
import { createShipper } from './shipper.ts'
import { createRecorder } from './writer.ts'

test('looking again and again while events come leaves no promise behind', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-shipper-'))
  const bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: quiet })
  await bus.value.ensureTopics([
    { topic: topics.sessions, partitions: 1, cleanup: 'delete', retentionMs: -1 },
    { topic: topics.commands, partitions: 1, cleanup: 'delete', retentionMs: -1 },
  ])
  const record = join(dir, 'record')
  const parts = { dir: record, clock: systemClock }
  const shipper = createShipper({ ...parts, bus: bus.value, codecs: createCodecs(), log: quiet })
  const recorder = createRecorder({
    ...parts,
    durability: 'process',
    bytesMax: 1 << 20,
    onUnavailable: 'deny',
    proxy: { name: 'p', version: '0' },
  })
  t.after(async () => {
    await recorder.stop()
    await shipper.stop()
    await bus.stop()
    rmSync(dir, { recursive: true, force: true })
  })
  recorder.value.session(sessionRecord('s'), 'opened', allow, '')
  let number = 0
  // An event now and then, so that the shipper looks all the time and does not go to rest.
  const runCommands = async (count: number) => {
    for (const last = number + count; number < last; ) {
      recorder.value.intent(intentOf('s', ++number, analysisOf('select 1')))
      recorder.value.commit()
      recorder.value.outcome('s', number, 1_700_000_000_100_000, ok)
      await sleep(20)
    }
  }
  await runCommands(20)
  const before = promises()
  const shippedBefore = shipper.value.stats().shipped
  await runCommands(60)
  const looked = shipper.value.stats().shipped - shippedBefore
  assert.ok(looked > 40, `only ${looked} events were shipped`)
  const grown = promises() - before
  assert.ok(grown < 40, `${grown} more promises after ${looked} events`)
})

/** How many live, after a collection. */
function promises(): number {
  return Number(queryObjects(Promise, { format: 'count' }))
}
