/** How a proxy does not start: it says why and ends, instead of starting a worker again and again. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

const folder = mkdtempSync(join(tmpdir(), 'portcullis-proxy-'))
test.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }))

test('a worker that ends before it ever listened ends the start, with the reason in its own lines', async () => {
  const file = join(folder, 'p.yaml')
  writeFileSync(
    file,
    `bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [{ issuer: 'http://127.0.0.1:1', audience: [portcullis] }] }
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:1
    tls: { ca: noca.pem }
    credentials: { user: app }
    groups: [agents]
proxy:
  workers: 1
  listen: { postgres: 127.0.0.1:0 }
  health: 127.0.0.1:0
  recorder: { onUnavailable: deny }
`,
  )
  const proxy = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--config', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  proxy.stdout.on('data', (chunk: Buffer) => {
    said += chunk
  })
  const startMs = performance.now()
  assert.deepEqual(await once(proxy, 'close'), [1, null])
  assert.ok(performance.now() - startMs < 20_000)
  assert.match(said, /worker 0 ended before all workers listened/)
  assert.match(said, /noca\.pem/)
})
