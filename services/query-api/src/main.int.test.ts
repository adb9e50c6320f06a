/** Two real API processes on one embedded bus: how they start and stop, and that the log decides between them. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { type Bus, type Started, topics } from '@portcullis/kernel'
import { connectBus } from '@portcullis/platform/connect'
import { createLog } from '@portcullis/platform/service'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-api-main-'))
const configFile = join(dir, 'portcullis.yaml')
const token = 'responder-token-0123456789'
const children: ChildProcess[] = []
let bus: Started<Bus>

before(async () => {
  bus = await connectBus(`lmdb:${join(dir, 'bus')}`, {
    logger: createLog({ service: 'test', level: 'silent' }),
  })
  await bus.value.ensureTopics(
    Object.values(topics).map((topic) => ({ topic, partitions: 1, cleanup: 'delete', retentionMs: -1 })),
  )
  writeFileSync(
    configFile,
    `
bus: lmdb:./bus
audit: embedded:./audit
identity:
  issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }]
  own: { key: 'env:TEST_OWN_KEY' }
targets:
  - { name: shop, protocol: postgres, address: '127.0.0.1:1', credentials: { user: app }, groups: ['*'] }
proxy: { recorder: { onUnavailable: deny } }
api:
  listen: 127.0.0.1:0
  tokens: [{ name: ops, role: responder, token: 'env:TEST_API_TOKEN' }]
`,
  )
})
after(async () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL')
  await bus.stop()
  rmSync(dir, { recursive: true, force: true })
})

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH ?? '',
      TEST_API_TOKEN: token,
      TEST_OWN_KEY: randomBytes(32).toString('base64'),
      // No engine stands there: the API starts all the same and says 503 where it would need one.
      PORTCULLIS_ENGINE_URL: 'http://127.0.0.1:1',
      PORTCULLIS_ENGINE_PASSWORD: 'x',
      ...env,
    },
  })
  children.push(child)
  return child
}

async function startApi(): Promise<{ url: string; child: ChildProcess }> {
  const child = run(['--config', configFile])
  assert.ok(child.stdout && child.stderr)
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, address }: { msg: string; address?: string } = JSON.parse(line)
    if (msg === 'listening' && address !== undefined) {
      child.stdout.resume()
      return { url: address, child }
    }
  }
  throw new Error(`it did not start: ${errors}`)
}

interface Shown {
  readonly verdictId: string
  readonly until: string
}
async function verdictIn(answer: Response): Promise<Shown> {
  const shown: unknown = await answer.json()
  assert.ok(typeof shown === 'object' && shown !== null && 'verdictId' in shown && 'until' in shown)
  return { verdictId: String(shown.verdictId), until: String(shown.until) }
}
async function itemsOf(url: string, headers: Record<string, string>): Promise<readonly unknown[]> {
  const page: unknown = await (await fetch(`${url}/v1/verdicts`, { headers })).json()
  assert.ok(typeof page === 'object' && page !== null && 'items' in page && Array.isArray(page.items))
  return page.items
}

test('two processes: readiness, one verdict for one key, the same state in both, a clean stop', async () => {
  const [a, b] = await Promise.all([startApi(), startApi()])
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  for (const { url } of [a, b]) {
    const deadline = Date.now() + 10_000
    while ((await fetch(`${url}/readyz`)).status !== 200) assert.ok(Date.now() < deadline)
    const commands = await fetch(`${url}/v1/commands`, { headers })
    assert.equal(commands.status, 503)
    await commands.text()
  }
  const body = JSON.stringify({
    action: 'kill',
    subject: { kind: 'session', id: 's1' },
    durationSec: 60,
    explanation: 'race',
  })
  for (let round = 0; round < 5; round++) {
    const answers = await Promise.all(
      [a, b].map(({ url }) =>
        fetch(`${url}/v1/verdicts`, {
          method: 'POST',
          headers: { ...headers, 'idempotency-key': `k${round}` },
          body,
        }),
      ),
    )
    const [first, second] = await Promise.all(answers.map(verdictIn))
    assert.deepEqual(
      answers.map(({ status }) => status),
      [201, 201],
    )
    assert.ok(first)
    assert.deepEqual(first, second)
    assert.equal(answers.filter((answer) => answer.headers.has('idempotency-replayed')).length, 1)
  }
  const lists = await Promise.all([a, b].map(({ url }) => itemsOf(url, headers)))
  assert.equal(lists[0]?.length, 5)
  assert.deepEqual(lists[0], lists[1])
  for (const { child } of [a, b]) {
    child.kill('SIGTERM')
    const [code] = await once(child, 'exit')
    assert.equal(code, 0)
  }
})

test('--validate, a token that is too short, and a key to seal with that is none', async () => {
  const valid = run(['--config', configFile, '--validate'])
  assert.deepEqual(await once(valid, 'exit'), [0, null])
  for (const [env, why] of [
    [{ TEST_API_TOKEN: 'hunter2' }, /api\.tokens\.ops: a token must have at least 16 characters/],
    [{ TEST_OWN_KEY: 'hunter2' }, /env:TEST_OWN_KEY\) must be 32 bytes/],
  ] as const) {
    const weak = run(['--config', configFile], env)
    let said = ''
    weak.stdout?.on('data', (chunk) => {
      said += chunk
    })
    assert.deepEqual(await once(weak, 'exit'), [1, null])
    assert.match(said, why)
    assert.doesNotMatch(said, /hunter2/)
  }
})
