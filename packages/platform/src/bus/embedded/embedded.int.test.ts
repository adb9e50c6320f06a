import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { busContract } from '@portcullis/testkit/bus-contract'
import { openEmbeddedBus } from './index.ts'

busContract('embedded bus', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-bus-'))
  return {
    url: `lmdb:${join(dir, 'bus')}`,
    options: { cleaning: { everyMs: 100, compactionLagMs: 100, tombstoneMs: 500 } },
    stop: async () => rmSync(dir, { recursive: true, force: true }),
  }
})

test('a topic that another process is just making does not disturb the cleaning', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-bus-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  mkdirSync(join(dir, 'topics/portcullis.commands.v1'), { recursive: true })
  const errors: string[] = []
  const quiet = () => undefined
  const bus = await openEmbeddedBus(dir, {
    logger: { debug: quiet, info: quiet, warn: quiet, error: (_fields, message) => errors.push(message) },
    cleaning: { everyMs: 20 },
  })
  await sleep(150)
  await bus.stop()
  assert.deepEqual(errors, [])
})
