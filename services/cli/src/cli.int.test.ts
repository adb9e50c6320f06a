/** The command line as a process, by its bin, against a server that does what a real gate does not do on demand. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { missing } from '@portcullis/testkit/missing'
import { makeCertificates } from '@portcullis/testkit/certificates'
import { commands } from './cli.ts'
import { type GateServer, startGateServer } from './testing/gate-server.ts'
import { runCli, startCli } from './testing/run-cli.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-cli-'))
let gate: Started<GateServer>
let env: Record<string, string>

before(async () => {
  gate = await startGateServer()
  env = { PORTCULLIS_URL: gate.value.url, PORTCULLIS_CONFIG_DIR: join(dir, 'config') }
})
afterEach(() => {
  gate.value.reply.clear()
  rmSync(join(dir, 'config'), { recursive: true, force: true })
})
after(async () => {
  await gate.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function signIn(...args: string[]) {
  const login = startCli(['login', ...args], env)
  const [, code = ''] = await login.said(/enter (\S+)/)
  gate.value.answer(code, 'yes')
  return login.done
}

test('login, who one is, the token, and logout', async () => {
  const { code, out, err } = await signIn()
  assert.equal(code, 0, err)
  assert.match(err, new RegExp(`Open ${gate.value.url}/device and enter [B-Z]{4}-[B-Z]{4}`))
  assert.match(out, /^Signed in at .* as ann until .*Z\n$/)
  assert.doesNotMatch(out + err, /the-token-of-ann/)
  const file = join(dir, 'config', 'tokens.json')
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.equal(statSync(join(dir, 'config')).mode & 0o777, 0o700)

  const who = await runCli(['whoami'], env)
  assert.match(who.out, /identity +https:\/\/idp\.example\|ann\ngroups +agents\n/)
  assert.doesNotMatch(who.out + who.err, /the-token-of-ann/)
  const json = JSON.parse((await runCli(['whoami', '--json'], env)).out)
  assert.deepEqual([json.subject, json.from], ['ann', 'login'])
  // The gate of the last login is the one that is meant.
  const { PORTCULLIS_URL: _, ...without } = env
  assert.equal((await runCli(['token'], without)).out, 'the-token-of-ann\n')
  assert.match((await runCli(['logout'], env)).out, /^Signed out/)
  assert.doesNotMatch(readFileSync(file, 'utf8'), /the-token-of-ann/)
  assert.equal((await runCli(['token'], env)).code, 4)
})

test('login with --json says what to open, then what came of it', async () => {
  const login = startCli(['login', '--json'], env)
  const [, code = ''] = await login.said(/"userCode":"(\S+?)"/)
  gate.value.answer(code, 'yes')
  const { out, err } = await login.done
  const [pending, done] = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual([pending.status, done.status, err], ['pending', 'signed-in', ''])
  assert.doesNotMatch(out, /the-token-of-ann/)
})

test('a person who says no, and Ctrl-C while it waits', async () => {
  const refused = startCli(['login'], env)
  const [, code = ''] = await refused.said(/enter (\S+)/)
  gate.value.answer(code, 'no')
  assert.deepEqual(await refused.done.then(({ code, out }) => [code, out]), [2, ''])
  const waiting = startCli(['login'], env)
  await waiting.said(/enter/)
  process.kill(-(waiting.child.pid ?? 0), 'SIGINT')
  const { code: interrupted, out, err } = await waiting.done
  assert.deepEqual([interrupted, out], [130, ''])
  assert.doesNotMatch(err, /Error|at .*\.ts/)
  assert.equal(existsSync(join(dir, 'config', 'tokens.json')), false)
})

const failures: [string, string[], Record<string, string>, number, RegExp][] = [
  ['no gate', ['whoami'], { PORTCULLIS_URL: '' }, 1, /which gate.*\n.*PORTCULLIS_URL/],
  ['not signed in', ['whoami'], {}, 4, /not signed in.*\n.*portcullis login/],
  ['a token that nobody knows', ['whoami'], { PORTCULLIS_TOKEN: 'x' }, 2, /unauthenticated.*r-1.*\n.*login/],
  [
    'a route that is not there',
    ['targets', 'list'],
    { PORTCULLIS_TOKEN: 'the-token-of-ann' },
    5,
    /not_found/,
  ],
  [
    'nobody there',
    ['whoami'],
    { PORTCULLIS_URL: 'http://127.0.0.1:9', PORTCULLIS_TOKEN: 'x' },
    3,
    /cannot be reached/,
  ],
  ['http over a network', ['login'], { PORTCULLIS_URL: 'http://gate.example' }, 1, /https/],
  ['an unknown command', ['frobnicate'], {}, 1, /no command "frobnicate".*\n.*--help/],
  ['an unknown option', ['whoami', '--frob'], {}, 1, /--frob.*\n.*portcullis whoami/],
  ['a missing word', ['connect'], {}, 1, /missing.*\n.*TARGET/],
  ['a word too many', ['whoami', 'x'], {}, 1, /too many/],
  ['arguments for nobody', ['whoami', '--', 'x'], {}, 1, /too many/],
  ['a life of nothing', ['token', '--life', '-1'], { PORTCULLIS_TOKEN: 'x' }, 1, /./],
  ['a configuration that is none', ['validate', '/nowhere.yaml'], {}, 1, /cannot be read/],
  ['an authority that is none', ['whoami'], { PORTCULLIS_CA: '/nowhere.pem' }, 1, /PORTCULLIS_CA/],
]
for (const [what, args, more, exitCode, why] of failures)
  test(`${what}: exit code ${exitCode}, what and what to do, no stack trace`, async () => {
    const { code, out, err } = await runCli(args, { ...env, ...more })
    assert.equal(code, exitCode, err)
    assert.match(err, why)
    assert.equal(out, '')
    assert.doesNotMatch(err, /node:internal|\.ts:\d/)
    const json = await runCli([...args.slice(0, 2), '--json', ...args.slice(2)], { ...env, ...more })
    if (args.includes('--')) return
    assert.equal(json.code, exitCode)
    if (json.err !== '') assert.ok(JSON.parse(json.err).error.hint)
  })

test('what answers is no gate', async () => {
  for (const [status, body] of [
    [200, '<html>hello</html>'],
    [302, '{}'],
    [500, 'oops'],
  ] as const) {
    gate.value.reply.set('GET /v1/whoami', { status, body })
    const { code, err } = await runCli(['whoami'], { ...env, PORTCULLIS_TOKEN: 'the-token-of-ann' })
    assert.equal(code, 3)
    assert.match(err, /no Portcullis/)
  }
})

test('what is advised fits what was refused', async () => {
  const token = { ...env, PORTCULLIS_TOKEN: 'the-token-of-ann' }
  const asked = async (what: string, args: string[], status: number, body: object) => {
    gate.value.reply.set(what, { status, body: JSON.stringify(body) })
    const { code, err } = await runCli([...args, '--json'], token)
    return `${code} ${JSON.parse(err).error.hint}`
  }
  const whoami = (status: number) => asked('GET /v1/whoami', ['whoami'], status, { detail: 'no' })
  assert.match(await whoami(403), /^2 portcullis whoami shows/)
  assert.match(await whoami(409), /^2 nothing was changed/)
  assert.match(await whoami(429), /^3 wait a minute/)
  const traded = (status: number, error: string) =>
    asked('POST /v1/token', ['token', '--target', 'shop'], status, { error })
  assert.match(await traded(400, 'invalid_scope'), /^2 portcullis whoami shows what you have/)
  assert.match(await traded(400, 'invalid_request'), /^2 sign in again/)
  assert.match(await traded(429, 'temporarily_unavailable'), /^3 wait a minute/)
})

test('what a gate says cannot write on the terminal, nor into files of ssh', async () => {
  const reply = (what: string, status: number, body: object) =>
    gate.value.reply.set(what, { status, body: JSON.stringify(body) })
  const evil = 'x\u001b[2J\n  User root'
  reply('GET /v1/whoami', 200, {
    issuer: evil,
    subject: evil,
    groups: [evil],
    role: '',
    task: '',
    delegation: [],
  })
  const token = { ...env, PORTCULLIS_TOKEN: 'the-token-of-ann' }
  assert.ok(!(await runCli(['whoami'], token)).out.includes('\u001b'))
  reply('POST /v1/ssh/certificates', 201, {
    certificate: 'c',
    serial: '1',
    validBefore: 1,
    principals: [evil],
    hosts: ['a'],
  })
  assert.equal((await runCli(['ssh', 'config'], token)).code, 1)
  reply('POST /v1/ssh/certificates', 201, {
    certificate: 'c',
    serial: '1',
    validBefore: 1,
    principals: ['a'],
    hosts: [evil],
  })
  assert.equal((await runCli(['ssh', 'config'], token)).code, 1)
})

test('doors that are not there are named as that', async () => {
  const items = ['ssh', 'kubernetes'].map((protocol) => ({
    ...{
      name: `my-${protocol}`,
      protocol,
      roles: [''],
      database: '',
      address: '127.0.0.1:1',
      tls: false,
      labels: {},
    },
  }))
  gate.value.reply.set('GET /v1/targets', { status: 200, body: JSON.stringify({ items }) })
  const token = { ...env, PORTCULLIS_TOKEN: 'the-token-of-ann' }
  const ssh = await runCli(['connect', 'my-ssh', '--json'], token)
  assert.equal(ssh.code, 5)
  assert.equal(JSON.parse(ssh.err).error.code, 'no_door')
  assert.match(JSON.parse(ssh.err).error.hint, /portcullis ssh cert/)
  const kubeconfig = JSON.parse((await runCli(['kubeconfig'], token)).out)
  assert.equal(kubeconfig.clusters[0].cluster.server, 'https://127.0.0.1:1/my-kubernetes')
  gate.value.reply.set('GET /v1/targets', { status: 200, body: '{"items":[]}' })
  assert.deepEqual(await runCli(['kubeconfig'], token).then(({ code, out }) => [code, out]), [5, ''])
  const empty = join(dir, 'no-programs')
  gate.value.reply.set('GET /v1/targets', {
    ...{
      status: 200,
      body: JSON.stringify({ items: [{ ...items[0], name: 'shop', protocol: 'postgres' }] }),
    },
  })
  const none = await runCli(['connect', 'shop'], { ...token, PATH: empty })
  assert.equal(none.code, 5)
  assert.match(none.err, /psql is not on this machine's PATH\n.*--listen/)
})

test('a real kubectl gets its token by the kubeconfig, over the connection that it verified', async (t) => {
  const kubectl = spawnSync('kubectl', ['version', '--client'])
  if (kubectl.error) return missing(t, 'kubectl')
  const { caPem, server } = makeCertificates()
  const asked: string[] = []
  const door = createTlsServer({ cert: server.certPem, key: server.keyPem }, (request, response) => {
    asked.push(`${request.url} ${request.headers.authorization}`)
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"answer":42}')
  }).listen(0, '127.0.0.1')
  t.after(() => door.close())
  await new Promise((resolve) => door.once('listening', resolve))
  const bound = door.address()
  const address = `127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`
  const items = [
    { name: 'prod', protocol: 'kubernetes', roles: [''], database: '', address, tls: true, labels: {} },
  ]
  gate.value.reply.set('GET /v1/targets', { status: 200, body: JSON.stringify({ items }) })
  gate.value.reply.set('POST /v1/token', {
    ...{
      status: 200,
      body: JSON.stringify({ access_token: 'of-kubectl', expires_in: 600, scope: 'target:prod' }),
    },
  })
  writeFileSync(join(dir, 'kube-ca.pem'), caPem)
  const token = { ...env, PORTCULLIS_TOKEN: 'the-token-of-ann', PORTCULLIS_CA: join(dir, 'kube-ca.pem') }
  const { out } = await runCli(['kubeconfig'], token)
  assert.doesNotMatch(out, /the-token-of-ann|of-kubectl/)
  writeFileSync(join(dir, 'kubeconfig'), out)
  const bin = join(import.meta.dirname, '../bin/portcullis.mjs')
  writeFileSync(join(dir, 'portcullis'), `#!/bin/sh\nexec ${process.execPath} ${bin} "$@"\n`, { mode: 0o755 })
  const child = spawn('kubectl', ['--kubeconfig', join(dir, 'kubeconfig'), 'get', '--raw', '/api/v1/x'], {
    env: { ...token, HOME: dir, PATH: `${dir}:${process.env.PATH}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  const tooLong = setTimeout(() => child.kill('SIGKILL'), 30_000)
  await new Promise((resolve) => child.once('close', resolve))
  clearTimeout(tooLong)
  assert.equal(said.trim(), '{"answer":42}')
  // It asks for the version under the target's path first; --raw of an old kubectl leaves the path out.
  assert.match(asked[0] ?? '', /^\/prod\//)
  for (const one of asked) assert.match(one, / Bearer of-kubectl$/)
})

test("a GitHub Actions job's own token is asked for with the audience, and shown to nobody else", async (t) => {
  const asked: string[] = []
  let status = 200
  const server = createServer((request, response) => {
    asked.push(`${request.url} ${request.headers.authorization}`)
    response
      .writeHead(status)
      .end(JSON.stringify(status === 200 ? { value: 'of-github' } : { message: 'no id-token' }))
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  const job = {
    ...env,
    ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${port}/token?api-version=2.0`,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-the-job',
  }
  assert.equal((await runCli(['token'], job)).out, 'of-github\n')
  assert.equal(
    (await runCli(['token', '--from', 'github-actions', '--audience', 'mine'], job)).out,
    'of-github\n',
  )
  assert.deepEqual(asked, [
    '/token?api-version=2.0&audience=portcullis Bearer of-the-job',
    '/token?api-version=2.0&audience=mine Bearer of-the-job',
  ])
  status = 403
  const refused = await runCli(['token'], job)
  assert.deepEqual([refused.code, refused.out], [2, ''])
  assert.match(refused.err, /no id-token\n.*id-token: write/)
  const forbidden = await runCli(['token', '--from', 'github-actions'], env)
  assert.equal(forbidden.code, 4)
  assert.match(forbidden.err, /permissions: \{ id-token: write \}/)
})

test('a projected service account token is read anew each time', async () => {
  const file = join(dir, 'projected')
  for (const token of ['first', 'second']) {
    writeFileSync(file, `${token}\n`)
    const { out } = await runCli(['token', '--from', 'kubernetes', '--file', file], env)
    assert.equal(out, `${token}\n`)
  }
  assert.equal((await runCli(['token'], { ...env, PORTCULLIS_TOKEN_FILE: file })).out, 'second\n')
})

test('every command has help with an example, and the overview names each', async () => {
  const { out: all } = await runCli(['--help'], {})
  for (const { name } of commands) {
    assert.match(all, new RegExp(`^  ${name} `, 'm'))
    const { code, out, err } = await runCli([...name.split(' '), '--help'], {})
    assert.deepEqual([code, err], [0, ''])
    assert.match(
      out,
      new RegExp(`^portcullis ${name}: [^]*Usage: portcullis ${name}[^]*Example: [^]*portcullis ${name}`),
    )
  }
})
