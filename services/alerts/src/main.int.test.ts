/** The alerts service as a process: how it starts, and that neither a stop nor kill -9 makes it page twice. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { type Bus, type Started, systemClock, topics, type VerdictEvent } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { createLog } from '@portcullis/platform/service'
import { verdictOf } from './test-events.ts'
import { type Receiver, startReceiver, until } from './test-receiver.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-alerts-main-'))
const configFile = join(dir, 'portcullis.yaml')
const codecs = createCodecs()
const children: ChildProcess[] = []
let bus: Started<Bus>
let receiver: Started<Receiver>

before(async () => {
  bus = await connectBus(`lmdb:${join(dir, 'bus')}`, {
    logger: createLog({ service: 'test', level: 'silent' }),
  })
  await bus.value.ensureTopics(
    Object.values(topics).map((topic) => ({ topic, partitions: 1, cleanup: 'delete', retentionMs: -1 })),
  )
  receiver = await startReceiver(() => ({ status: 202 }))
  writeFileSync(
    configFile,
    `
bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }] }
targets:
  - { name: shop, protocol: postgres, address: '127.0.0.1:1', credentials: { user: app }, groups: ['*'] }
proxy: { recorder: { onUnavailable: deny } }
alerts:
  health: 127.0.0.1:0
  pagerduty: { routingKey: 'env:TEST_ROUTING_KEY', url: '${receiver.value.url}/v2/enqueue' }
`,
  )
})
after(async () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL')
  await receiver.stop()
  await bus.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function startAlerts(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--config', configFile], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH ?? '', TEST_ROUTING_KEY: 'R0UT1NG' },
  })
  children.push(child)
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, health }: { msg: string; health?: string } = JSON.parse(line)
    if (msg !== 'ready') continue
    child.stdout.resume()
    const deadline = Date.now() + 10_000
    while ((await fetch(`http://${health}/readyz`)).status !== 200) assert.ok(Date.now() < deadline)
    return child
  }
  throw new Error('it did not start')
}

function publish(verdict: VerdictEvent): Promise<void> {
  const value = codecs.verdict.encode(verdict)
  return bus.value.publish([{ topic: topics.verdicts, key: verdict.verdictId, value }])
}
const actions = () => receiver.value.requests.map(({ body }) => body.event_action)

test('kill -9 after the page, and once more after a clean stop: one page, and the resolve still comes', async () => {
  const issuedAt = systemClock.nowUs()
  const verdict = verdictOf('v1', { issuedAt, until: issuedAt + 600_000_000 })
  const first = await startAlerts()
  await publish(verdict)
  await until(() => actions().length === 1, 'the page')
  // The delivery is written down within moments of the answer.
  await new Promise((resolve) => setTimeout(resolve, 300))
  first.kill('SIGKILL')
  await once(first, 'exit')

  const second = await startAlerts()
  await publish(verdict)
  await new Promise((resolve) => setTimeout(resolve, 300))
  second.kill('SIGTERM')
  assert.deepEqual(await once(second, 'exit'), [0, null])
  assert.deepEqual(actions(), ['trigger'])

  await publish({ ...verdict, state: 'lifted' })
  const third = await startAlerts()
  await until(() => actions().length === 2, 'the resolve')
  assert.deepEqual(actions(), ['trigger', 'resolve'])
  third.kill('SIGTERM')
  await once(third, 'exit')
})
