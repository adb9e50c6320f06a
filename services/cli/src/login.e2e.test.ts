/** A person signs in by `portcullis login` at a real gate, by a real OpenID provider, and works at a target as themselves. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { createBrowser, formOf } from '@portcullis/testkit/browser'
import { type PeopleSystem, startPeopleSystem } from '@portcullis/testkit/people-system'
import { findPsql } from '@portcullis/testkit/postgres'
import type { System } from '@portcullis/testkit/system'
import { runCli, startCli } from './testing/run-cli.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-login-'))
const psql = findPsql()
let bed: Started<PeopleSystem>
let system: System
let env: Record<string, string>

before(async () => {
  bed = await startPeopleSystem()
  system = bed.value.system
  env = {
    PORTCULLIS_URL: system.apiUrl,
    PORTCULLIS_CONFIG_DIR: join(dir, 'config'),
    ...(psql !== undefined && { PATH: `${dirname(psql)}:${process.env.PATH}` }),
  }
})
after(async () => {
  await bed?.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** Opens the address that login printed, signs in at the provider, enters the code, and answers. */
async function atTheDevicePage(userCode: string, answer: 'yes' | 'no'): Promise<void> {
  const url = system.apiUrl
  const browser = createBrowser()
  const back = `${url}/sign-in/corp/callback`
  const page = await browser.follow(await browser.get(`${url}/sign-in/corp`), back)
  assert.ok(typeof page !== 'string')
  const callback = await browser.follow(await browser.post(formOf(page).action, { login: 'ann' }), back)
  assert.ok(typeof callback === 'string')
  await browser.get(callback)
  const enter = formOf(await browser.get(`${url}/device`))
  const confirm = formOf(await browser.post(enter.action, { ...enter.fields, user_code: userCode }))
  await browser.post(confirm.action, { ...confirm.fields, answer })
}

test('login, whoami, a target as oneself, logout', async (t) => {
  const login = startCli(['login'], env)
  t.after(() => login.child.kill('SIGKILL'))
  const [, address, code = ''] = await login.said(/Open (\S+) and enter (\S+)/)
  assert.equal(address, `${system.apiUrl}/device`)
  await atTheDevicePage(code, 'yes')
  const { code: exit, out, err } = await login.done
  assert.equal(exit, 0, err)
  assert.match(out, /Signed in at .* as ann until /)

  const who = JSON.parse((await runCli(['whoami', '--json'], env)).out)
  assert.deepEqual(
    [who.subject, who.groups, who.role, who.from],
    ['ann', ['agents', 'oncall'], 'responder', 'login'],
  )
  const { items } = JSON.parse((await runCli(['targets', 'list', '--json'], env)).out)
  assert.deepEqual(
    items.map(({ name }: { name: string }) => name),
    ['shop'],
  )
  if (psql !== undefined) {
    const ran = await runCli(['connect', 'shop', '--', '-XAtc', 'select 6 * 7'], env)
    assert.deepEqual([ran.code, ran.out], [0, '42\n'], ran.err)
  }
  const stored = readFileSync(join(dir, 'config', 'tokens.json'), 'utf8')
  const { token } = JSON.parse(stored).gates[system.apiUrl]
  assert.ok(!system.log().includes(token), 'no log has the token')
  await runCli(['logout'], env)
  assert.equal((await runCli(['whoami'], env)).code, 4)
})

test('who says no is heard', async (t) => {
  const login = startCli(['login'], env)
  t.after(() => login.child.kill('SIGKILL'))
  const [, code = ''] = await login.said(/enter (\S+)/)
  await atTheDevicePage(code, 'no')
  const { code: exit, err } = await login.done
  assert.equal(exit, 2)
  assert.match(err, /the sign-in was refused/)
})
