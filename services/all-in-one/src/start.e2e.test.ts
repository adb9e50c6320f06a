/**
 * `npm start` as a person meets it: the printed lines run word for word, the command stands in the trail, a second
 * start finds everything, and nothing is left running, whether the supervisor was interrupted or killed.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { findPsql, startPostgres } from '@portcullis/testkit/postgres'
import { startTestIssuer } from '@portcullis/testkit/tokens'
import { writeDemoIdpState } from './demo-idp-state.ts'
import { freePorts } from './ports.ts'

const startMsMax = 60_000

test('the printed lines work word for word; killed or interrupted, nothing is lost and nothing is left', async (t) => {
  if (process.platform !== 'linux') return t.skip('reads /proc')
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-start-'))
  chmodSync(folder, 0o711)
  const data = join(folder, 'data')
  const running: Run[] = []
  const run = () => {
    const one = start(['--data', data, '--postgres-port', '0', '--api-port', '0'])
    running.push(one)
    return one
  }
  try {
    const first = run()
    const lines = await first.welcome()
    assert.match(await shell(lines.node), /Lamp|Chair|Desk|Shelf|Clock|Rug/)
    if (findPsql()) assert.match(await shell(lines.psql), /\(5 rows\)/)
    assert.match(await shell(lines.cli), /^shop +postgres +-,report /m)
    const expected = findPsql() ? 2 : 1
    const watching = firstEvent(lines.watch, /^event: command/m)
    await eventually(async () => (await commandsOf(lines.curl)).length === expected)
    await shell(lines.node)
    await watching
    await eventually(async () => (await commandsOf(lines.curl)).length === expected + 1)

    const second = start(['--data', data, '--postgres-port', '0', '--api-port', '0'])
    running.push(second)
    assert.equal(await second.ended, 1)
    assert.match(second.output(), new RegExp(`is in use by process ${first.pid}`))

    const children = descendants(first.pid)
    assert.ok(children.length >= 8, `only ${children.length} child processes`)
    process.kill(first.pid, 'SIGKILL')
    await first.ended
    await eventually(() => children.every((pid) => !isRunning(pid)), 40_000)

    const third = run()
    const again = await third.welcome()
    assert.equal(again.curl.split(' "http')[0], lines.curl.split(' "http')[0], 'the API token stays the same')
    assert.match(third.output(), /valid until \d{4}-\d\d-\d\d \d\d:\d\d UTC, npm start prints a new one/)
    const kept = await commandsOf(again.curl)
    assert.equal(kept.length, expected + 1)
    await shell(again.node)
    await eventually(async () => (await commandsOf(again.curl)).length === expected + 2)
    const lastChildren = descendants(third.pid)
    process.kill(third.pid, 'SIGINT')
    assert.equal(await third.ended, 0, third.output())
    assert.deepEqual(lastChildren.filter(isRunning), [])
  } finally {
    for (const { pid, ended } of running) {
      if (isRunning(pid)) process.kill(pid, 'SIGKILL')
      await ended
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 500 })
  }
})

test('a configuration of its own runs the services and no demo part', async (t) => {
  const psql = findPsql()
  if (!psql) return t.skip('psql is not installed')
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-start-'))
  const postgres = await startPostgres()
  const issuer = await startTestIssuer()
  const listen = await freeAddresses(6)
  const file = join(folder, 'portcullis.yaml')
  const target = `127.0.0.1:${postgres.value.port}`
  writeFileSync(file, ownConfig({ issuer: issuer.value.issuer, target, listen }))
  const own = start(['--config', file], { OWN_PASSWORD: postgres.value.app.password })
  try {
    await eventually(() => /"all-in-one".*"msg":"ready"/.test(own.output()), startMsMax)
    assert.match(own.output(), new RegExp(`ready; Postgres door ${listen[0]}, API http://${listen[5]};`))
    assert.doesNotMatch(own.output(), /BusError|"stack"/)
    const token = await issuer.value.sign({ sub: 'somebody' })
    const url = `postgres://own:${token}@${listen[0]}/postgres`
    assert.equal(await shell(`'${psql}' '${url}' -Atc 'select current_user'`), 'app\n')
    const children = descendants(own.pid)
    const commands = children.map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
    assert.deepEqual(
      commands.filter((command) => /demo/.test(command)),
      [],
    )
    process.kill(own.pid, 'SIGTERM')
    assert.equal(await own.ended, 0, own.output())
    assert.deepEqual(children.filter(isRunning), [])
  } finally {
    if (isRunning(own.pid)) process.kill(own.pid, 'SIGKILL')
    await own.ended
    await issuer.stop()
    await postgres.stop()
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 500 })
  }
})

test('a wrong option, a wrong configuration and a busy port are named, and nothing starts', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-start-'))
  try {
    const option = start(['--postgres-port', 'x'])
    assert.equal(await option.ended, 2)
    assert.match(option.output(), /--postgres-port x: must be a port/)
    const missing = start(['--config', 'none.yaml'], { INIT_CWD: folder })
    assert.equal(await missing.ended, 2)
    assert.ok(missing.output().startsWith(`${join(folder, 'none.yaml')}: cannot be read`), missing.output())
    const valid = start([
      '--config',
      join(import.meta.dirname, '../../../deploy/portcullis.yaml'),
      '--validate',
    ])
    assert.equal(await valid.ended, 0, valid.output())
    assert.match(valid.output(), /warning: .*: proxy\.tls\.cert: .*there is no such file/)
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    const busy = start(['--data', join(folder, 'data'), '--postgres-port', String(port), '--api-port', '0'])
    assert.equal(await busy.ended, 1)
    assert.match(
      busy.output(),
      new RegExp(`127.0.0.1:${port} \\(the Postgres door\\) cannot be used: .*--postgres-port PORT`),
    )
    // As an earlier start left it.
    await writeDemoIdpState(join(folder, 'data', 'idp'), port, undefined)
    const issuerBusy = start(['--data', join(folder, 'data'), '--postgres-port', '0', '--api-port', '0'])
    assert.equal(await issuerBusy.ended, 1)
    assert.match(
      issuerBusy.output(),
      new RegExp(`127.0.0.1:${port} \\(the demo's token issuer.*\\) cannot be used: .*--data DIR`),
    )
    assert.doesNotMatch(issuerBusy.output(), /up:/)
    const own = join(folder, 'own.yaml')
    const listen = [...(await freeAddresses(5)), `127.0.0.1:${port}`]
    writeFileSync(own, ownConfig({ issuer: 'https://idp.example', target: '127.0.0.1:1', listen }))
    const unset = start(['--config', own])
    assert.equal(await unset.ended, 2, unset.output())
    assert.match(
      unset.output(),
      /own\.yaml:9:\d+: targets\.0\.credentials\.password: env:OWN_PASSWORD: .* not set/,
    )
    const ruled = join(folder, 'ruled.yaml')
    writeFileSync(ruled, `${readFileSync(own, 'utf8')}policy: { file: policy.yaml }\n`)
    writeFileSync(join(folder, 'policy.yaml'), 'rules:\n  - { name: reads, action: alow }\n')
    for (const judged of [start(['--config', ruled, '--validate']), start(['--config', ruled])]) {
      assert.equal(await judged.ended, 2, judged.output())
      assert.match(judged.output(), /policy\.yaml:2:\d+: rules\.0\.action: /)
    }
    const ownBusy = start(['--config', own], { OWN_PASSWORD: 'x' })
    assert.equal(await ownBusy.ended, 1, ownBusy.output())
    taken.close()
    assert.match(
      ownBusy.output(),
      new RegExp(
        `127.0.0.1:${port} \\(api.listen\\) cannot be used: another program listens there.*own.yaml`,
      ),
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

async function freeAddresses(count: number): Promise<string[]> {
  return (await freePorts(count)).map((port) => `127.0.0.1:${port}`)
}

/** `listen`: the Postgres door, the health of proxy, analyzer, alerts and projector, and the API. */
function ownConfig(own: { issuer: string; target: string; listen: readonly string[] }): string {
  const [door, proxy, analyzer, alerts, projector, api] = own.listen
  return `dataDir: data
bus: lmdb:./data/bus
audit: embedded:./data/audit
identity: { issuers: [{ issuer: '${own.issuer}', audience: [portcullis] }] }
targets:
  - name: own
    protocol: postgres
    address: ${own.target}
    credentials: { user: app, password: 'env:OWN_PASSWORD' }
    groups: ['*']
proxy: { listen: { postgres: '${door}' }, health: '${proxy}', recorder: { onUnavailable: deny } }
analyzer: { health: '${analyzer}' }
alerts: { health: '${alerts}' }
projector: { health: '${projector}' }
api: { listen: '${api}' }
`
}

type Run = {
  pid: number
  /** Exit code. */
  ended: Promise<number | null>
  output(): string
  welcome(): Promise<{ psql: string; node: string; curl: string; watch: string; cli: string }>
}

function start(args: string[], env: Record<string, string> = {}): Run {
  const child: ChildProcess = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      text += chunk
    })
  }
  const ended = once(child, 'close').then(([code]) => code as number | null)
  const line = (pattern: RegExp) =>
    pattern.exec(text)?.[0] ?? assert.fail(`${pattern} was not printed:\n${text}`)
  return {
    pid: child.pid ?? 0,
    ended,
    output: () => text,
    welcome: async () => {
      const deadline = Date.now() + startMsMax
      while (!text.includes('Ctrl-C drains')) {
        assert.ok(child.exitCode === null && Date.now() < deadline, `not up:\n${text}`)
        await delay(100)
      }
      return {
        psql: line(/^psql .*$/m),
        node: line(/^node -e .*$/m),
        curl: line(/^curl -s -H .*\/v1\/commands.*$/m),
        watch: line(/^curl -sN .*$/m),
        cli: line(/^export PORTCULLIS_URL=.*$/m),
      }
    },
  }
}

async function shell(line: string): Promise<string> {
  const { stdout } = await promisify(execFile)('sh', ['-c', line], { timeout: 30_000 })
  return stdout
}

async function commandsOf(curlLine: string): Promise<unknown[]> {
  const { address, headers } = requestOf(curlLine)
  const response = await fetch(address, { headers })
  const body = await response.text()
  assert.equal(response.status, 200, body)
  const { items } = JSON.parse(body)
  return items.filter(({ text }: { text: string }) => text.startsWith('select id, name'))
}

/** Resolves once the stream of the printed line has shown `pattern`. */
async function firstEvent(curlLine: string, pattern: RegExp): Promise<void> {
  const { address, headers } = requestOf(curlLine)
  const response = await fetch(address, { headers, signal: AbortSignal.timeout(30_000) })
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk)
    if (pattern.test(text)) return
  }
  assert.fail(`the stream ended without ${pattern}:\n${text}`)
}

/** curl may be missing here; the address and the token are the printed ones. */
function requestOf(curlLine: string): { address: string; headers: Record<string, string> } {
  const [, token, address] = /-H "Authorization: (Bearer [^"]+)" "([^"]+)"/.exec(curlLine) ?? []
  assert.ok(token && address, curlLine)
  return { address, headers: { authorization: token } }
}

/** All processes below `root`, whatever process group they are in. */
function descendants(root: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const fields = statOf(Number(name))
    if (fields) parents.set(Number(name), Number(fields[1]))
  }
  const below = (pid: number): number[] =>
    [...parents].flatMap(([child, parent]) => (parent === pid ? [child, ...below(child)] : []))
  return below(root)
}

/** An orphan that nobody reaps stays a zombie: it exists and does not run. */
function isRunning(pid: number): boolean {
  const state = statOf(pid)?.[0]
  return state !== undefined && state !== 'Z'
}

/** From the state on; undefined where there is no such process. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

async function eventually(condition: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  const deadline = Date.now() + withinMs
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `it did not happen within ${withinMs} ms`)
    await delay(100)
  }
}
