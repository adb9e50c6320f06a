/** The bootstrap in a clone of its own, with an npm that only says what it was asked. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

type Clone = { root: string; npmCalls(): string }

const lock = (version: string) =>
  JSON.stringify({
    packages: {
      '': { name: 'clone' },
      'node_modules/pg': { version, integrity: 'sha512-x' },
      'node_modules/elsewhere': { version: '1.0.0', optional: true, os: ['nowhere'] },
    },
  })

/** `installed` undefined: a fresh clone. `npm` is what the fake npm does after it has noted its arguments. */
function clone(installed: string | undefined, npm = 'exit 1'): Clone {
  const root = mkdtempSync(join(tmpdir(), 'portcullis-bootstrap-'))
  test.after(() => rmSync(root, { recursive: true, force: true }))
  for (const folder of ['scripts', 'bin', 'node_modules/.bin', 'node_modules/node']) {
    mkdirSync(join(root, folder), { recursive: true })
  }
  copyFileSync(join(import.meta.dirname, 'bootstrap.mjs'), join(root, 'scripts/bootstrap.mjs'))
  writeFileSync(join(root, 'package-lock.json'), lock('8.0.0'))
  writeFileSync(
    join(root, 'node_modules/node/package.json'),
    JSON.stringify({ version: process.versions.node }),
  )
  symlinkSync(process.execPath, join(root, 'node_modules/.bin/node'))
  if (installed) writeFileSync(join(root, 'node_modules/.package-lock.json'), lock(installed))
  writeFileSync(join(root, 'bin/npm'), `#!/bin/sh\necho "$@" >> ${root}/calls\n${npm}\n`)
  chmodSync(join(root, 'bin/npm'), 0o755)
  writeFileSync(join(root, 'scripts/seven.mjs'), "console.log('ran', process.argv[2]); process.exit(7)")
  writeFileSync(
    join(root, 'scripts/waits.mjs'),
    "process.on('SIGTERM', () => process.exit(9)); console.log('waiting'); setInterval(() => {}, 1000)",
  )
  const npmCalls = () => {
    try {
      return readFileSync(join(root, 'calls'), 'utf8')
    } catch {
      return ''
    }
  }
  return { root, npmCalls }
}

async function run(root: string, args: string[], path = `${root}/bin`, onOutput?: (pid: number) => void) {
  const { npm_execpath: _, ...env } = process.env
  const child = spawn(process.execPath, [join(root, 'scripts/bootstrap.mjs'), ...args], {
    env: { ...env, PATH: path },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk
      onOutput?.(child.pid ?? 0)
    })
  }
  const [code] = await once(child, 'close')
  return { code, output }
}

test('with everything installed it runs the file with its arguments and keeps its exit code, without npm', async () => {
  const { root, npmCalls } = clone('8.0.0')
  assert.deepEqual(await run(root, ['scripts/seven.mjs', 'x']), { code: 7, output: 'ran x\n' })
  assert.equal(npmCalls(), '')
})

test('a signal to it alone is passed on', async () => {
  const { root } = clone('8.0.0')
  let sent = false
  const { code } = await run(root, ['scripts/waits.mjs'], undefined, (pid) => {
    if (!sent) process.kill(pid, 'SIGTERM')
    sent = true
  })
  assert.equal(code, 9)
})

test('an interrupt to it alone is passed on, also where its input is a terminal', async (t) => {
  if (spawnSync('script', ['--version']).error)
    return t.skip('script, which makes a terminal, is not installed')
  const { root } = clone('8.0.0')
  writeFileSync(
    join(root, 'scripts/waits.mjs'),
    "process.on('SIGINT', () => process.exit(9)); console.log('waiting for ' + process.ppid); setInterval(() => {}, 1000)",
  )
  const command = `exec ${process.execPath} ${join(root, 'scripts/bootstrap.mjs')} scripts/waits.mjs`
  const terminal = spawn('script', ['--return', '--quiet', '--command', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let output = ''
  terminal.stdout.on('data', (chunk: Buffer) => {
    const before = output
    output += chunk
    const pid = /waiting for (\d+)\s/.exec(output)?.[1]
    if (pid && !/waiting for \d+\s/.test(before)) process.kill(Number(pid), 'SIGINT')
  })
  const late = setTimeout(() => terminal.kill('SIGKILL'), 10_000)
  assert.deepEqual(await once(terminal, 'close'), [9, null])
  clearTimeout(late)
})

test('a fresh clone, and one whose lockfile moved on, are installed first', async () => {
  for (const installed of [undefined, '7.9.0']) {
    const { root, npmCalls } = clone(installed)
    writeFileSync(
      join(root, 'bin/npm'),
      `#!/bin/sh\necho "$@" >> ${root}/calls\n/bin/cp ${root}/package-lock.json ${root}/node_modules/.package-lock.json\n`,
    )
    const { code, output } = await run(root, ['scripts/seven.mjs', 'x'])
    assert.equal(code, 7, output)
    assert.match(
      output,
      installed ? /installing \(node_modules\/pg is outdated\)/ : /installing \(nothing is installed yet\)/,
    )
    assert.match(output, /installed in \d+ s\n/)
    assert.match(output, /ran x/)
    assert.match(npmCalls(), /^ci /)
  }
})

test('a failed or missing npm is explained, and nothing runs', async () => {
  const failed = await run(clone(undefined).root, ['scripts/seven.mjs'])
  assert.equal(failed.code, 1)
  assert.match(failed.output, /npm ci failed.*registry reachable/)
  const missing = await run(clone(undefined).root, ['scripts/seven.mjs'], '/nonexistent')
  assert.equal(missing.code, 1)
  assert.match(missing.output, /npm could not be run .*Node 18 or later and npm/)
  assert.doesNotMatch(failed.output + missing.output, /ran/)
})

test('a name that is no script is refused', async () => {
  const { code, output } = await run(clone('8.0.0').root, ['strat'])
  assert.equal(code, 1)
  assert.match(output, /unknown script "strat"; one of start, test, check, demo/)
})
