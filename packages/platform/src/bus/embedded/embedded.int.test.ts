import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { busContract } from '@portcullis/testkit/bus-contract'

busContract('embedded bus', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-bus-'))
  return {
    url: `lmdb:${join(dir, 'bus')}`,
    options: { cleaning: { everyMs: 100, compactionLagMs: 100, tombstoneMs: 500 } },
    stop: async () => rmSync(dir, { recursive: true, force: true }),
  }
})
