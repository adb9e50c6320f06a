/** A service process as its supervisor sees it: exit codes, signals, health. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'

// Inside the package, so that its imports resolve.
const dir = mkdtempSync(join(import.meta.dirname, '.run-'))
after(() => rmSync(dir, { recursive: true, force: true }))

function start(
  body: string,
  args: readonly string[] = ['--config', 'any'],
): { child: ChildProcess; output: () => string; code: Promise<number | null> } {
  const file = join(dir, `${Math.random().toString(36).slice(2)}.ts`)
  writeFileSync(
    file,
    `import { runService } from ${JSON.stringify(join(import.meta.dirname, 'run.ts'))}
     await runService({ name: 'test', load: (file: string) => { if (file === 'bad') throw new Error('bad:1:1: wrong'); return {} }, logLevel: () => 'info',
       healthAddress: () => '127.0.0.1:0', start: ${body}, stopMsMax: 2000 })`,
  )
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (text += data))
  return { child, output: () => text, code: new Promise((resolve) => child.once('close', resolve)) }
}

async function until(met: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000
  while (!met()) {
    assert.ok(Date.now() < deadline, 'it did not happen within 15 s')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('ready, healthy, and stopped by SIGTERM with code 0 after its own stop', async () => {
  const { child, output, code } = start(
    `async () => ({ value: 1, stop: async () => console.log('drained') })`,
  )
  await until(() => output().includes('"ready"'))
  const [, address] = /"health":"([^"]+)"/.exec(output()) ?? []
  assert.equal((await fetch(`http://${address}/readyz`)).status, 200)
  assert.match(await (await fetch(`http://${address}/metrics`)).text(), /process_cpu_seconds_total/)
  child.kill('SIGTERM')
  assert.equal(await code, 0)
  assert.match(output(), /drained/)
})

test('a start that waits for others stops at SIGTERM all the same', async () => {
  const { child, output, code } = start(
    `async () => { console.log('waiting'); setInterval(() => 1, 1000); await new Promise(() => undefined) }`,
  )
  await until(() => output().includes('waiting'))
  child.kill('SIGTERM')
  assert.equal(await code, 0)
})

test('a failure ends it with code 1, a bad configuration with 2, --validate with 0 or 2', async () => {
  assert.equal(await start(`async () => { throw new Error('no luck') }`).code, 1)
  const bad = start('async () => 1', ['--config', 'bad'])
  assert.equal(await bad.code, 2)
  assert.equal(bad.output().trim(), 'bad:1:1: wrong')
  assert.equal(await start('async () => 1', ['--config', 'good', '--validate']).code, 0)
  assert.equal(await start('async () => 1', ['--config', 'bad', '--validate']).code, 2)
  assert.equal(await start('async () => 1', []).code, 2)
})
