/** A person signs in by `portcullis login` at a real gate, by a real OpenID provider, and works at a target as themselves. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { createBrowser, formOf } from '@portcullis/testkit/browser'
import { startOidcProvider } from '@portcullis/testkit/oidc-idp'
import { findPsql, type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import { runCli, startCli } from './testing/run-cli.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-login-'))
const psql = findPsql()
const secret = randomBytes(24).toString('base64url')
let provider: Started<{ readonly issuer: string }>
let postgres: Started<Postgres>
let system: Started<System>
let env: Record<string, string>

before(async () => {
  const apiPort = await freePort()
  const url = `http://127.0.0.1:${apiPort}`
  const oidc = { clientId: 'portcullis', clientSecret: secret }
  provider = await startOidcProvider({
    ...oidc,
    redirectUris: [`${url}/sign-in/corp/callback`],
    people: { ann: { name: 'Ann Example', email: 'ann@corp.example', groups: ['agents'] } },
  })
  postgres = await startPostgres({ auth: 'scram-sha-256' })
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy', 'query-api', 'projector'],
    apiPort,
    env: { PEOPLE_KEY: randomBytes(48).toString('base64'), CORP_SECRET: secret },
    extra: {
      people: `publicUrl: '${url}'
key: env:PEOPLE_KEY
oidc: [{ name: corp, title: Corp, issuer: '${provider.value.issuer}', clientId: portcullis, clientSecret: 'env:CORP_SECRET' }]`,
    },
  })
  env = {
    PORTCULLIS_URL: url,
    PORTCULLIS_CONFIG_DIR: join(dir, 'config'),
    ...(psql !== undefined && { PATH: `${dirname(psql)}:${process.env.PATH}` }),
  }
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
  await provider?.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** Opens the address that login printed, signs in at the provider, enters the code, and answers. */
async function atTheDevicePage(userCode: string, answer: 'yes' | 'no'): Promise<void> {
  const url = system.value.apiUrl
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
  assert.equal(address, `${system.value.apiUrl}/device`)
  await atTheDevicePage(code, 'yes')
  const { code: exit, out, err } = await login.done
  assert.equal(exit, 0, err)
  assert.match(out, /Signed in at .* as ann until /)

  const who = JSON.parse((await runCli(['whoami', '--json'], env)).out)
  assert.deepEqual(
    [who.issuer, who.subject, who.groups, who.from],
    [provider.value.issuer, 'ann', ['agents'], 'login'],
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
  const { token } = JSON.parse(stored).gates[system.value.apiUrl]
  assert.ok(!system.value.log().includes(token), 'no log has the token')
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

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}
