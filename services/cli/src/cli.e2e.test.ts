/** The command line against the whole system: API, bus, proxy with TLS, real psql, a real driver, a real sshd. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { missing } from '@portcullis/testkit/missing'
import { makeCertificates } from '@portcullis/testkit/certificates'
import { findPsql, type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { sshdBinary, startSshd } from '@portcullis/testkit/sshd'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'
import { type Running, runCli, startCli } from './testing/run-cli.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-cli-e2e-'))
const psql = findPsql()
const me = userInfo().username
let postgres: Started<Postgres>
let system: Started<System>
let env: Record<string, string>

before(async () => {
  const { caPem, server } = makeCertificates({ serverNames: ['127.0.0.1'] })
  writeFileSync(join(dir, 'ca.pem'), caPem)
  writeFileSync(join(dir, 'tls.crt'), server.certPem)
  writeFileSync(join(dir, 'tls.key'), server.keyPem)
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  writeFileSync(join(dir, 'ssh-ca.pem'), pem)
  postgres = await startPostgres({ auth: 'scram-sha-256' })
  const { user } = postgres.value
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy', 'query-api', 'projector'],
    targets: ['orders'],
    extra: {
      proxy: `tls: { cert: '${join(dir, 'tls.crt')}', key: 'file:${join(dir, 'tls.key')}' }`,
      shop: `roles: { reader: { credentials: { user: '${user}', password: 'env:SHOP_PASSWORD' }, groups: [agents] } }`,
      ssh: `ca: 'file:${join(dir, 'ssh-ca.pem')}'
certificates: [{ groups: [agents], principals: ['${me}'], extensions: [], hosts: [127.0.0.1] }]`,
    },
  })
  env = {
    PORTCULLIS_URL: system.value.apiUrl,
    PORTCULLIS_CONFIG_DIR: join(dir, 'config'),
    PORTCULLIS_CA: join(dir, 'ca.pem'),
    PORTCULLIS_TOKEN: await system.value.token('agent:cli'),
    ...(psql !== undefined && { PATH: `${dirname(psql)}:${process.env.PATH}` }),
  }
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
  rmSync(dir, { recursive: true, force: true })
})

function needsPsql(t: TestContext): boolean {
  if (psql !== undefined) return true
  missing(t, 'psql')
  return false
}

test('who one is, and what one may reach', async () => {
  const who = JSON.parse((await runCli(['whoami', '--json'], env)).out)
  assert.deepEqual([who.subject, who.groups, who.role], ['agent:cli', ['agents'], ''])
  const { out } = await runCli(['targets', 'list'], env)
  assert.match(
    out,
    /^NAME +PROTOCOL +ROLES .*\nshop +postgres +-,reader +\S+ +127\.0\.0\.1:\d+\n?.*\norders +postgres +- /,
  )
  const { items } = JSON.parse((await runCli(['targets', 'list', '--json'], env)).out)
  assert.equal(items[0].tls, true)
})

test('a token is traded for less, and what is asked for beyond is refused', async () => {
  const args = [
    'token',
    '--exchange',
    '--target',
    'shop',
    '--role',
    'reader',
    '--task',
    'report',
    '--life',
    '60',
  ]
  const traded = await runCli([...args, '--json'], env)
  const { token, scope, expiresAt } = JSON.parse(traded.out)
  assert.equal(scope, 'target:shop role:reader')
  assert.ok(Date.parse(expiresAt) - Date.now() < 61_000)
  const child = { ...env, PORTCULLIS_TOKEN: token }
  const { items } = JSON.parse((await runCli(['targets', 'list', '--json'], child)).out)
  assert.deepEqual(
    items.map(({ name, roles }: { name: string; roles: string[] }) => [name, roles]),
    [['shop', ['reader']]],
  )
  const who = await runCli(['whoami'], child)
  assert.match(who.out, /limited to +target:shop role:reader\ntask +report\n/)
  const beyond = await runCli(['token', '--target', 'orders'], child)
  assert.deepEqual([beyond.code, beyond.out], [2, ''])
  const credential = JSON.parse((await runCli(['token', '--exec-credential', '--target', 'shop'], env)).out)
  assert.equal(credential.kind, 'ExecCredential')
  assert.ok(credential.status.token.split('.').length === 3 && credential.status.expirationTimestamp)
})

test("psql by one command: as the role, over verified TLS, with psql's exit code", async (t) => {
  if (!needsPsql(t)) return
  const sql = "select current_setting('server_version') <> '' as through"
  const { code, out, err } = await runCli(['connect', 'shop', '--role', 'reader', '--', '-XAtc', sql], env)
  assert.deepEqual([code, out], [0, 't\n'], err)
  const conninfo = await runCli(['connect', 'shop+reader', '--', '-Xc', '\\conninfo'], env)
  assert.match(conninfo.out, /user "shop\+reader"[\s\S]*SSL connection/)
  const failed = await runCli(
    ['connect', 'shop', '--', '-Xc', 'select * from nowhere', '-v', 'ON_ERROR_STOP=1'],
    env,
  )
  assert.deepEqual([failed.code, failed.out], [1, ''])
  const other = await runCli(
    ['connect', 'shop', '-d', 'template1', '--', '-XAtc', 'select current_database()'],
    env,
  )
  assert.equal(other.out, 'template1\n')
  for (const [args, why] of [
    [['connect', 'nowhere'], /no target "nowhere".*\n.*shop, orders/],
    [['connect', 'orders', '--role', 'reader'], /no role "reader"/],
    [['connect', 'shop+reader', '--role', 'other'], /two roles/],
  ] as const) {
    const refused = await runCli(args, env)
    assert.match(refused.err, why)
    assert.ok(refused.code === 1 || refused.code === 2)
  }
  const unverified = { ...env, PORTCULLIS_CA: join(dir, 'other.pem') }
  writeFileSync(join(dir, 'other.pem'), makeCertificates().caPem)
  const strange = await runCli(['connect', 'shop', '--', '-Xc', 'select 1'], unverified)
  assert.equal(strange.code, 2, 'psql could not connect')
  assert.match(strange.err, /SSL error/)
})

test('no token stands in an argument of any process, nor in what is printed', async (t) => {
  if (!needsPsql(t)) return
  const running = startCli(['connect', 'shop', '--', '-Xc', "select 'x', pg_sleep(61)"], env)
  const secret = (env.PORTCULLIS_TOKEN ?? '').slice(-40)
  let psqls = 0
  for (let tries = 0; tries < 100 && psqls === 0; tries++) {
    await sleep(50)
    for (const { args, environment } of processes()) {
      assert.ok(!args.includes(secret) && !/eyJ/.test(args), args)
      if (!args.includes('pg_sleep') || !/psql/.test(args.split('\0')[0] ?? '')) continue
      psqls += 1
      assert.match(environment, /PGPASSWORD=eyJ/)
      assert.ok(!environment.includes(secret), 'psql has a token for this target alone')
    }
  }
  assert.ok(psqls > 0)
  await runs('pg_sleep(61)')
  interrupt(running)
  const { code, out, err } = await running.done
  // psql cancels its query, says so, and ends with its own code.
  assert.equal(code, 1)
  assert.match(err, /canceling statement due to user request/i)
  assert.doesNotMatch(out + err, /eyJ/)
})

test('a local port takes psql and a driver with no password, cancels, and is gone after Ctrl-C', async (t) => {
  const door = startCli(['connect', 'shop', '--role', 'reader', '--listen', '--json'], env)
  t.after(() => door.child.kill('SIGKILL'))
  const [, line = ''] = await door.said(/(\{"host".*\})/)
  const { port } = JSON.parse(line)
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'anyone' })
  await client.connect()
  const rows = await client.query('select $1::int + 1 as n, repeat($2, 200000) as long', [41, 'x'])
  assert.deepEqual([rows.rows[0].n, rows.rows[0].long.length], [42, 200_000])
  await assert.rejects(client.query('select 1/0'), /division by zero/)
  await client.end()
  // What comes in one go with the start-up, and in pieces.
  const clients = await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      const one = new pg.Client({
        host: '127.0.0.1',
        port,
        user: 'anyone',
        database: 'postgres',
        application_name: `c${n}`,
      })
      await one.connect()
      const { rows: mine } = await one.query('select $1::int as n', [n])
      await one.end()
      return mine[0].n
    }),
  )
  assert.deepEqual(
    clients,
    Array.from({ length: 20 }, (_, n) => n),
  )
  if (psql !== undefined) {
    const sleeping = spawn(
      psql,
      ['-h', '127.0.0.1', '-p', String(port), '-d', 'postgres', '-Xwc', 'select pg_sleep(62)'],
      {
        env: { PATH: process.env.PATH },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    )
    let err = ''
    sleeping.stderr.on('data', (text) => {
      err += text
    })
    const ended = new Promise((resolve) => sleeping.once('close', resolve))
    await runs('pg_sleep(62)')
    sleeping.kill('SIGINT')
    const tooLong = setTimeout(() => sleeping.kill('SIGKILL'), 10_000)
    await ended
    clearTimeout(tooLong)
    assert.match(err, /canceling statement due to user request/i)
  }
  const open = new pg.Client({ host: '127.0.0.1', port, user: 'anyone' })
  open.on('error', () => undefined)
  await open.connect()
  interrupt(door)
  const { code, err } = await door.done
  assert.deepEqual([code, err], [0, ''])
  const late = new pg.Client({ host: '127.0.0.1', port, user: 'anyone' })
  await assert.rejects(late.connect(), /ECONNREFUSED/)
})

test('through a local port a refusal of the gate arrives as it is; a gate that is gone has words of its own', async (t) => {
  const token = (await runCli(['token', '--target', 'shop'], env)).out.trim()
  const door = startCli(['connect', 'shop', '--listen', '0'], { ...env, PORTCULLIS_TOKEN: token })
  t.after(() => door.child.kill('SIGKILL'))
  const [, port = ''] = await door.said(/127\.0\.0\.1:(\d+) leads to shop/)
  const connecting = () => {
    const client = new pg.Client({ host: '127.0.0.1', port: Number(port), user: 'anyone' })
    return client.connect().finally(() => client.end())
  }
  await connecting()
  const revoked = await fetch(`${system.value.apiUrl}/v1/revocations`, {
    method: 'POST',
    headers: { authorization: `Bearer ${system.value.apiToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ token, reason: 'leaked' }),
  })
  assert.equal(revoked.status, 201)
  await assert.rejects(connecting(), /portcullis: .*/)
  await system.value.stopPart('proxy:gate-1')
  try {
    await assert.rejects(connecting(), (error: Error & { code?: string }) => {
      assert.match(error.message, /portcullis: the gate's door at 127\.0\.0\.1:\d+ cannot be reached/)
      return error.code === '08006'
    })
  } finally {
    await system.value.startPart('proxy:gate-1')
  }
})

test('a key is certified, and a real ssh renews it by itself at a real sshd', async (t) => {
  if (!sshdBinary) return missing(t, 'sshd')
  const caLine = await (await fetch(`${system.value.apiUrl}/v1/ssh/ca`)).text()
  const { value: server, stop } = await startSshd(dir, sshdBinary, caLine.trim())
  t.after(stop)
  const first = await runCli(['ssh', 'cert', '--json', '--life', '120'], env)
  assert.equal(first.code, 0, first.err)
  const { file, serial, principals } = JSON.parse(first.out)
  assert.deepEqual(principals, [me])
  const shown = execFileSync('ssh-keygen', ['-L', '-f', file], { encoding: 'utf8' })
  assert.match(shown, new RegExp(`Serial: ${serial}\n`))
  const kept = JSON.parse((await runCli(['ssh', 'cert', '--if-needed', '--json'], env)).out)
  assert.equal(kept.renewed, false)
  const welcome = await server.run(file.replace(/-cert\.pub$/, ''))
  assert.equal(welcome.stdout, 'hello\n', welcome.stderr)

  const config = await runCli(['ssh', 'config'], env)
  assert.match(config.out, /^# portcullis ssh config\nMatch host "127\.0\.0\.1" exec /)
  writeFileSync(join(dir, 'ssh_config'), config.out)
  rmSync(file)
  const bin = join(import.meta.dirname, '../bin')
  writeFileSync(join(dir, 'portcullis'), `#!/bin/sh\nexec ${process.execPath} ${bin}/portcullis.mjs "$@"\n`, {
    mode: 0o755,
  })
  const options = [
    '-F',
    join(dir, 'ssh_config'),
    '-p',
    String(server.port),
    '-o',
    'BatchMode=yes',
    '-o',
    'IdentityAgent=none',
  ]
  const hosts = ['-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${join(dir, 'known')}`]
  const ssh = spawn('ssh', [...options, ...hosts, '127.0.0.1', 'echo renewed'], {
    env: { ...env, PATH: `${dir}:${process.env.PATH}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said: string[] = []
  for (const stream of [ssh.stdout, ssh.stderr])
    stream.setEncoding('utf8').on('data', (text) => said.push(text))
  await new Promise((resolve) => ssh.once('close', resolve))
  assert.match(said.join(''), /renewed\n/)
})

/** Once the server works on it: psql heeds no Ctrl-C before. */
async function runs(what: string): Promise<void> {
  const client = new pg.Client(postgres.value.url)
  await client.connect()
  const sql =
    "select 1 from pg_stat_activity where state = 'active' and position($1 in query) > 0 and pid <> pg_backend_pid()"
  for (let tries = 0; (await client.query(sql, [what])).rowCount === 0; tries++) {
    assert.ok(tries < 200, `${what} does not run`)
    await sleep(50)
  }
  await client.end()
}

function interrupt({ child }: Running): void {
  process.kill(-(child.pid ?? 0), 'SIGINT')
}

/** Arguments and environment of every process that can be seen. */
function processes(): { args: string; environment: string }[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return []
    try {
      const read = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'utf8')
      return [{ args: read('cmdline'), environment: read('environ') }]
    } catch {
      return []
    }
  })
}
