/** Every case that the fuzzer has found, as it was when it went wrong. A case stays for ever; new ones come by `npm run fuzz:postgres`. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createSqlAnalyzer, type SqlAnalyzer } from '@portcullis/sql'
import { play } from '../../testing/fuzz/play.ts'
import type { KeptCase } from '../../testing/fuzz/script.ts'

const folder = join(import.meta.dirname, 'fuzz-corpus')
let analyzer: SqlAnalyzer

before(async () => {
  analyzer = await createSqlAnalyzer({ cacheEntries: 1000, cacheBytesMax: 1 << 22, syncBytesMax: 1 << 20 })
  // Scripts count turns of the event loop: the first text must not take a hundred of them.
  await analyzer.warm()
})
after(() => analyzer.close())

for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
  test(`kept case ${file}`, async () => {
    const { about, script }: KeptCase = JSON.parse(readFileSync(join(folder, file), 'utf8'))
    assert.deepEqual((await play(script, analyzer)).faults, [], about)
  })
}
