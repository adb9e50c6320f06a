/** The small pure parts: settings, sources, environments, what is written into other programs' files. */
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openerFor } from './browser.ts'
import { kubeconfigOf } from './commands/kubeconfig.ts'
import { sshConfigBlock } from './commands/ssh.ts'
import { CliError, shown } from './errors.ts'
import { pickTarget, type Target } from './gate.ts'
import { uidsIn } from './peer.ts'
import { expiryOf, findProof } from './proof.ts'
import { psqlEnvironment } from './psql-environment.ts'
import { apiUrl, configDir } from './settings.ts'
import { detectSource } from './sources.ts'
import { openTokenStore } from './token-store.ts'

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-cli-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof CliError, String(error))
    assert.ok(error.hint !== '' && error.message !== '')
    return error.code
  }
  return 'ok'
}

const url = 'https://gate.example'

test('an address is https, or http to this machine, and has nothing but a path', () => {
  const of = (given: string) => apiUrl({}, { PORTCULLIS_URL: given }, undefined)
  assert.equal(of('https://gate.example/'), 'https://gate.example')
  assert.equal(of('https://gate.example/portcullis/'), 'https://gate.example/portcullis')
  for (const loopback of ['http://127.0.0.1:8080', 'http://localhost:8080', 'http://[::1]:8080'])
    assert.equal(of(loopback), loopback)
  for (const wrong of [
    'http://gate.example',
    'gate.example',
    'file:///x',
    'https://a:b@gate.example',
    'https://g/?q',
    'http://127.0.0.1.evil.example',
    'http://localhost.evil.example',
  ])
    assert.equal(
      codeOf(() => of(wrong)),
      'usage',
      wrong,
    )
  assert.equal(apiUrl({ url }, { PORTCULLIS_URL: 'https://other' }, 'https://last'), url)
  assert.equal(apiUrl({}, {}, 'https://last'), 'https://last')
  assert.equal(
    codeOf(() => apiUrl({}, {}, undefined)),
    'usage',
  )
  assert.equal(configDir({ XDG_CONFIG_HOME: '/x' }), '/x/portcullis')
})

test('the token file is for its owner alone, and is refused where it is not', (t) => {
  const store = openTokenStore(join(folder(t), 'deep', 'er'))
  assert.equal(store.get(url), undefined)
  store.put(url, { token: 'secret', expiresAt: '2030-01-01T00:00:00Z' })
  store.put('https://other', { token: 'other', expiresAt: '2030-01-01T00:00:00Z' })
  assert.equal(statSync(store.file).mode & 0o777, 0o600)
  assert.equal(store.get(url)?.token, 'secret')
  assert.equal(store.current(), 'https://other')
  assert.equal(store.get('constructor'), undefined)
  assert.equal(store.remove('https://other'), true)
  assert.equal(store.remove('https://other'), false)
  assert.doesNotMatch(readFileSync(store.file, 'utf8'), /"other"/)
  chmodSync(store.file, 0o644)
  assert.equal(
    codeOf(() => store.get(url)),
    'file',
  )
  chmodSync(store.file, 0o600)
  for (const content of ['', '{', '[]', '{"version":2,"gates":{}}', `{"version":1,"gates":{"${url}":{}}}`]) {
    writeFileSync(store.file, content)
    assert.equal(
      codeOf(() => store.get(url)),
      'file',
      content,
    )
  }
})

test('the proof: what is named, the variable, the living login, the platform; one that is over is none', async (t) => {
  const store = openTokenStore(folder(t))
  const nowMs = Date.parse('2026-01-01T00:00:00Z')
  const jwt = (exp: number) => `h.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.s`
  const find = (options: object, env: NodeJS.ProcessEnv) =>
    findProof({ ...options }, { url, store, env, nowMs }).then(
      ({ token, from }) => [from, token],
      (error: unknown) => (error instanceof CliError ? error.code : Promise.reject(error)),
    )
  const gitlab = { GITLAB_CI: 'true', PORTCULLIS_ID_TOKEN: 'of-gitlab' }
  assert.equal(await find({}, {}), 'not_signed_in')
  assert.deepEqual(await find({}, gitlab), ['gitlab', 'of-gitlab'])
  store.put(url, { token: 'of-login', expiresAt: '2026-01-01T01:00:00Z' })
  assert.deepEqual(await find({}, gitlab), ['login', 'of-login'])
  assert.deepEqual(await find({}, { ...gitlab, PORTCULLIS_TOKEN: 'pck_x' }), ['env', 'pck_x'])
  assert.deepEqual(await find({ from: 'gitlab' }, { ...gitlab, PORTCULLIS_TOKEN: 'pck_x' }), [
    'gitlab',
    'of-gitlab',
  ])
  assert.equal(await find({ from: 'jenkins' }, gitlab), 'usage')
  assert.equal(await find({ from: 'file' }, {}), 'usage')
  assert.equal(await find({ from: 'kubernetes', file: '/nowhere' }, {}), 'not_signed_in')
  assert.equal(await find({}, { PORTCULLIS_TOKEN: jwt(nowMs / 1000 - 1) }), 'not_signed_in')
  assert.deepEqual(await find({}, { PORTCULLIS_TOKEN: jwt(nowMs / 1000 + 1) }), [
    'env',
    jwt(nowMs / 1000 + 1),
  ])
  store.put(url, { token: 'of-login', expiresAt: '2025-12-31T23:59:59Z' })
  assert.equal(await find({}, {}), 'not_signed_in')
  assert.deepEqual(await find({}, gitlab), ['gitlab', 'of-gitlab'])
  assert.equal(expiryOf('pck_x'), undefined)
  assert.equal(
    detectSource({ ACTIONS_ID_TOKEN_REQUEST_URL: 'u', ACTIONS_ID_TOKEN_REQUEST_TOKEN: 't' }),
    'github-actions',
  )
  assert.equal(detectSource({ ACTIONS_ID_TOKEN_REQUEST_URL: 'u' }), undefined)
})

const target: Target = {
  ...{ name: 'shop', protocol: 'postgres', roles: ['', 'reader'], database: 'shopdb' },
  ...{ address: 'gate.example:15432', tls: true, labels: {} },
}

test('psql gets the token and where to go by its environment, and nothing that leads it elsewhere', () => {
  const connecting = { target, role: 'reader', database: undefined, token: 'secret' }
  const env = psqlEnvironment(connecting, {
    ...{ PATH: '/bin', PGHOSTADDR: '6.6.6.6', PGSERVICE: 'evil', PGSSLMODE: 'disable', PGUSER: 'root' },
    ...{ PORTCULLIS_TOKEN: 'whole', PORTCULLIS_CA: '/ca.pem', PGAPPNAME: 'report' },
  })
  assert.deepEqual(env, {
    ...{ PATH: '/bin', PORTCULLIS_CA: '/ca.pem', PGAPPNAME: 'report' },
    ...{ PGHOST: 'gate.example', PGPORT: '15432', PGUSER: 'shop+reader', PGPASSWORD: 'secret' },
    ...{ PGDATABASE: 'shopdb', PGSSLMODE: 'verify-full', PGSSLROOTCERT: '/ca.pem' },
    ...{ PGGSSENCMODE: 'disable', PGREQUIREAUTH: 'password' },
  })
  const plain = { ...connecting, target: { ...target, tls: false } }
  assert.equal(
    codeOf(() => psqlEnvironment(plain, {})),
    'refused',
  )
  const here = { ...plain, target: { ...plain.target, address: '[::1]:15432' } }
  assert.equal(psqlEnvironment(here, {}).PGSSLMODE, 'disable')
  assert.equal(psqlEnvironment(here, {}).PGHOST, '::1')
})

test('a target or a role that is not yours is refused with those that are', () => {
  assert.equal(pickTarget([target], 'shop', 'reader'), target)
  assert.throws(
    () => pickTarget([target], 'orders', ''),
    (error: CliError) => /may reach shop/.test(error.hint),
  )
  assert.throws(
    () => pickTarget([target], 'shop', 'admin'),
    (error: CliError) => /^you may have no --role, or --role reader$/.test(error.hint),
  )
})

test("the kernel's table says whose the other end of a connection is", () => {
  const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:D431 0100007F:8AE2 01 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:8AE2 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1001        0 2 1
`
  assert.deepEqual(uidsIn(text, 0x8ae2, 0xd431), [1001])
  assert.deepEqual(uidsIn(text, 0xd431, 0x8ae2), [0])
  assert.deepEqual(uidsIn(text, 1, 2), [])
})

test('what others wrote is shown on one line', () => {
  assert.equal(shown('a\u001b[2Kb\r\nc\u202ed'), 'a [2Kb c d')
})

test('a browser is opened where somebody would see it', () => {
  assert.deepEqual(openerFor('linux', { DISPLAY: ':0' }), ['xdg-open'])
  assert.equal(openerFor('linux', {}), undefined)
  assert.equal(openerFor('darwin', { SSH_CONNECTION: 'x' }), undefined)
  assert.deepEqual(openerFor('darwin', {}), ['open'])
})

test('what is written for ssh and kubectl has no token in it', () => {
  const block = sshConfigBlock({
    hosts: ['*.prod', 'db'],
    key: '/k/id',
    url,
    principals: ['deploy'],
    user: 'deploy',
  })
  assert.equal(
    block,
    `# portcullis ssh config
Match host "*.prod,db" exec "portcullis ssh cert --if-needed --url 'https://gate.example' --key '/k/id' --principal deploy >/dev/null"
  User deploy
  IdentityFile "/k/id"
  CertificateFile "/k/id-cert.pub"
  IdentitiesOnly yes`,
  )
  const config = JSON.stringify(kubeconfigOf([{ ...target, protocol: 'kubernetes' }], url, undefined))
  assert.match(config, /"server":"https:\/\/gate\.example:15432\/shop"/)
  assert.match(
    config,
    /"args":\["token","--exec-credential","--url","https:\/\/gate\.example","--target","shop"\]/,
  )
})
