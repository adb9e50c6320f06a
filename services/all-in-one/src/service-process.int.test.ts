/** The supervisor's parts on a real process: ready, restarted after a crash, stopped in time, gone with its parent. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { keepRunning } from './keep-running.ts'
import { freePorts } from './ports.ts'
import { ServiceRefused, type ServiceSpec, startServiceProcess } from './service-process.ts'
import { logToFiles } from './supervisor-log.ts'

const folder = mkdtempSync(join(tmpdir(), 'portcullis-supervisor-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

/** A service as runService makes them; `body` may make it misbehave. */
async function fakeService(name: string, body: string): Promise<ServiceSpec> {
  const [port] = await freePorts(1)
  const script = join(folder, `${name}.ts`)
  writeFileSync(
    script,
    `import { createServer } from 'node:http'
    const server = createServer((_, response) => response.setHeader('portcullis-pid', process.pid).end('ready'))
    process.on('SIGTERM', () => process.exit(0))
    process.on('disconnect', () => process.exit(0))
    const listen = () => server.listen(${port}, '127.0.0.1')
    ${body}`,
  )
  const health = `127.0.0.1:${port}`
  return { name, script, configFile: 'none.yaml', env: { FAKE_SECRET: 'x' }, health, stopMsMax: 700 }
}

function quietLog(shown: string[] = []) {
  return logToFiles(join(folder, 'log'), (text) => shown.push(text))
}

const never = new AbortController().signal

test('it is started with its configuration and secrets, and its lines are kept', async () => {
  const spec = await fakeService(
    'plain',
    'console.log(JSON.stringify({ level: "warn", msg: "hot", args: process.argv.slice(2), secret: process.env.FAKE_SECRET })); listen()',
  )
  const shown: string[] = []
  const log = quietLog(shown)
  const started = await startServiceProcess(spec, log, never)
  await started.stop()
  assert.deepEqual(await started.value.exited, { code: 0, signal: null })
  log.close()
  const line = JSON.parse(readFileSync(join(folder, 'log', 'plain.log'), 'utf8'))
  assert.deepEqual(line.args, ['--config', 'none.yaml'])
  assert.equal(line.secret, 'x')
  assert.deepEqual(shown, ['plain: warn: hot'])
})

test('one that ends before it is ready is an error with its last words; exit code 2 is a refusal', async () => {
  const spec = await fakeService(
    'dies',
    'console.error("no such target"); process.exitCode = 1; process.exit()',
  )
  await assert.rejects(
    startServiceProcess(spec, quietLog(), never),
    /dies ended with exit code 1.*\n.*no such target/,
  )
  const refused = await fakeService('refuses', 'process.exit(2)')
  await assert.rejects(startServiceProcess(refused, quietLog(), never), ServiceRefused)
})

test('what another process answers on its port is not taken for its own readiness', async () => {
  const spec = await fakeService('late', 'console.error("in the way"); setTimeout(listen, 300)')
  const [host, port] = spec.health.split(':')
  const other = createServer((_, response) => response.end('ready')).listen(Number(port), host)
  await once(other, 'listening')
  await assert.rejects(startServiceProcess(spec, quietLog(), never), /late ended with exit code 1/)
  other.close()
})

test('one that does not stop is killed, and so is what it started', async () => {
  const spec = await fakeService(
    'stubborn',
    `import { spawn } from 'node:child_process'
    process.removeAllListeners('SIGTERM'); process.on('SIGTERM', () => {})
    console.log('child ' + spawn('sleep', ['600'], { stdio: 'ignore' }).pid); listen()`,
  )
  const log = quietLog()
  const started = await startServiceProcess(spec, log, never)
  await started.stop()
  assert.equal((await started.value.exited).signal, 'SIGKILL')
  log.close()
  const pid = Number(/child (\d+)/.exec(readFileSync(join(folder, 'log', 'stubborn.log'), 'utf8'))?.[1])
  await eventually(() => !isRunning(pid))
})

test('one that is killed is started again, later each time; stopped meanwhile it stays down', async () => {
  const spec = await fakeService('crashes', 'listen()')
  const shown: string[] = []
  const part = {
    name: 'crashes',
    start: (signal: AbortSignal) => startServiceProcess(spec, quietLog(), signal),
  }
  const kept = await keepRunning(part, { log: quietLog(shown) })
  const first = kept.value().pid
  process.kill(first, 'SIGKILL')
  await eventually(() => kept.value().pid !== first)
  const second = kept.value().pid
  process.kill(second, 'SIGKILL')
  await eventually(() => shown.some((text) => text.includes('starts again in 500 ms')))
  await kept.stop()
  await delay(700)
  assert.equal(kept.value().pid, second)
  assert.ok(shown.some((text) => text.includes('crashes ended with SIGKILL')))
})

test('its children end when the supervisor is killed', async () => {
  const spec = await fakeService('orphan', 'console.log(process.pid); listen()')
  const program = join(folder, 'supervisor.ts')
  const from = (file: string) => JSON.stringify(join(import.meta.dirname, file))
  writeFileSync(
    program,
    `import { startServiceProcess } from ${from('service-process.ts')}
    import { logToStdout } from ${from('supervisor-log.ts')}
    const started = await startServiceProcess(${JSON.stringify(spec)}, logToStdout(), new AbortController().signal)
    console.log('pid=' + started.value.pid)
    setInterval(() => {}, 1000)`,
  )
  const supervisor = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  supervisor.stdout.on('data', (chunk: Buffer) => {
    output += chunk
  })
  await eventually(() => /pid=\d+/.test(output))
  const pid = Number(/pid=(\d+)/.exec(output)?.[1])
  assert.equal(isRunning(pid), true)
  supervisor.kill('SIGKILL')
  await once(supervisor, 'exit')
  await eventually(() => !isRunning(pid))
})

async function eventually(condition: () => boolean): Promise<void> {
  for (let waitedMs = 0; !condition(); waitedMs += 20) {
    assert.ok(waitedMs < 10_000, 'it did not happen within 10 s')
    await delay(20)
  }
}

/** An orphan that nobody reaps stays a zombie: it exists and does not run. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat[stat.lastIndexOf(')') + 2] !== 'Z'
  } catch {
    return false
  }
}
