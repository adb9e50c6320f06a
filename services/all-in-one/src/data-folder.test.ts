import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { holdFolder } from './data-folder.ts'

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-folder-'))
  test.after(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'data')
}

test('a folder has one holder, who is named to the second, and no one after release', () => {
  const folder = temporary()
  const first = holdFolder(folder)
  assert.equal(first.afterCrash, false)
  assert.equal(statSync(folder).mode & 0o066, 0)
  assert.throws(() => holdFolder(folder), new RegExp(`in use by process ${process.pid}: .*--data DIR`))
  first.release()
  const again = holdFolder(folder)
  assert.equal(again.afterCrash, false)
  again.release()
})

test('a folder that cannot be made is named, at once', (t) => {
  if (process.platform !== 'linux') return t.skip('there is no /proc')
  const script = `import { holdFolder } from ${JSON.stringify(join(import.meta.dirname, 'data-folder.ts'))}
    try { holdFolder('/proc/portcullis/data') } catch (error) { console.log(error.message) }`
  const child = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
    encoding: 'utf8',
    timeout: 10_000,
  })
  assert.match(child.stdout, /^\/proc\/portcullis\/data cannot be used as data folder: ENOENT/)
  const deep = join(temporary(), 'a', 'b')
  holdFolder(deep).release()
  assert.ok(statSync(deep).isDirectory())
})

test('a holder that was killed holds nothing, nor does another process with its id', async () => {
  const folder = temporary()
  const script = `import { holdFolder } from ${JSON.stringify(join(import.meta.dirname, 'data-folder.ts'))}
    holdFolder(${JSON.stringify(folder)}); console.log('held'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  assert.throws(() => holdFolder(folder), new RegExp(`in use by process ${child.pid}`))
  child.kill('SIGKILL')
  await once(child, 'exit')
  const next = holdFolder(folder)
  assert.equal(next.afterCrash, true)
  next.release()

  writeFileSync(join(folder, 'lock'), `${process.pid} 1`)
  const recycled = holdFolder(folder)
  assert.equal(recycled.afterCrash, true)
  recycled.release()
})

test('of many that find a stale hold exactly one gets it', async () => {
  const folder = temporary()
  holdFolder(folder).release()
  writeFileSync(join(folder, 'lock'), '999999999 1')
  const script = `import { holdFolder } from ${JSON.stringify(join(import.meta.dirname, 'data-folder.ts'))}
    try { holdFolder(${JSON.stringify(folder)}); console.log('got'); setTimeout(() => {}, 2000) } catch { console.log('not') }`
  const outputs = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const [chunk] = await once(child.stdout, 'data')
      await once(child, 'exit')
      return String(chunk).trim()
    }),
  )
  assert.equal(outputs.filter((output) => output === 'got').length, 1)
})
