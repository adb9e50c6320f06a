import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Config, parseConfig } from '@portcullis/config'
import { createReloads, fixedChanges } from './reload.ts'

const text = `
bus: { url: 'kafka://a:9092', username: gate }
audit: embedded:./audit
identity: { issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }] }
targets:
  - { name: shop, protocol: postgres, address: 'db:5432', credentials: { user: app }, groups: [agents] }
proxy:
  name: gate-1
  listen: { postgres: '127.0.0.1:15432' }
  health: 127.0.0.1:9101
  recorder: { onUnavailable: deny }
`
const config = (from: RegExp = /$^/, to = '') => parseConfig(text.replace(from, to), '/etc/portcullis.yaml')

test('where the proxy is reached and where its data lies cannot change; each is named with both values', () => {
  const changes: [RegExp, string, RegExp][] = [
    [/^\n/, '\ndataDir: /elsewhere\n', /^dataDir: .* from \/etc\/.portcullis to \/elsewhere .*restart/],
    [/a:9092/, 'b:9092', /^bus\.url: .*a:9092 to .*b:9092/],
    [/gate-1/, 'gate-2', /^proxy\.name/],
    [/15432/, '15433', /^proxy\.listen\.postgres/],
    [/9101/, '9201', /^proxy\.health/],
  ]
  for (const [from, to, line] of changes) {
    const [found, ...more] = fixedChanges(config(), config(from, to))
    assert.match(found ?? '', line)
    assert.deepEqual(more, [])
  }
  for (const [from, to] of [
    [/db:5432/, 'db2:5432'],
    [/username: gate/, 'username: other'],
    [/deny/, 'allow-and-count'],
  ] as const)
    assert.deepEqual(fixedChanges(config(), config(from, to)), [])
})

test('one at a time, and what is asked for meanwhile is read once more; a failure leaves the next its turn', async () => {
  const applied: string[] = []
  const results: string[] = []
  const files = ['10', '20', '30', '40']
  let inForce = config()
  let running = 0
  const ask = createReloads({
    load: () => config(/db:5432/, `db:${files.shift()}`),
    inForce: () => inForce,
    async apply(next: Config) {
      assert.equal(++running, 1)
      await new Promise((resolve) => setTimeout(resolve, 5))
      running--
      applied.push(String(next.targets[0]?.address))
      if (applied.length === 1) throw new Error('no luck')
      inForce = next
    },
    onResult: (result) => results.push(result),
    log: { info: () => undefined, error: () => undefined },
  })
  const first = ask()
  void ask()
  void ask()
  await first
  assert.deepEqual(applied, ['db:10', 'db:20'])
  await ask()
  assert.deepEqual(applied, ['db:10', 'db:20', 'db:30'])
  assert.deepEqual(results, ['failed', 'done', 'done'])
})

test('a file that is wrong is refused with every problem, and one that cannot even be judged as well', async () => {
  const lines: unknown[] = []
  const results: string[] = []
  const loads = [
    () => config(/name: shop/, 'name: SHOP, shape: round'),
    () => {
      throw new RangeError('the parser gave up')
    },
  ]
  const ask = createReloads({
    load: () => (loads.shift() ?? config)(),
    inForce: config,
    apply: () => assert.fail('must not be applied'),
    onResult: (result) => results.push(result),
    log: { info: () => undefined, error: (fields) => lines.push(Object.values(fields)[0]) },
  })
  await ask()
  assert.equal(lines.length, 2)
  assert.match(String(lines[0]), /^\/etc\/portcullis\.yaml:6:\d+: targets\.0/)
  await ask()
  assert.match(String(lines[2]), /the parser gave up/)
  assert.deepEqual(results, ['refused', 'refused'])
})
