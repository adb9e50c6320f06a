/**
 * Client certificates at the door, by the proxy's real processes and real psql: one that proves by itself, one that a
 * token is bound to (RFC 8705), and those that nobody should believe.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Started } from '@portcullis/kernel'
import { type CertificateAndKey, makeAuthority, makeCertificates } from '@portcullis/testkit/certificates'
import { findPsql, type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'

const run = promisify(execFile)
const dir = mkdtempSync(join(tmpdir(), 'portcullis-client-certificates-'))
const authority = makeAuthority()
const agent = (name: string) => `spiffe://acme.example/agents/${name}`
const planner = authority.issue({ commonName: 'planner', uris: [agent('planner')] })
const other = authority.issue({ commonName: 'other', uris: [agent('other')] })
const asked = authority.issue({ commonName: 'ci-1', dnsNames: ['ci-1.acme.example'] })
const unnamed = authority.issue({ commonName: 'nobody' })
const revoked = authority.issue({ commonName: 'revoked', uris: [agent('revoked')] })
let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  const server = makeCertificates()
  const file = (name: string, text: string) => {
    writeFileSync(join(dir, name), text, { mode: 0o600 })
    return join(dir, name)
  }
  postgres = await startPostgres({ auth: 'scram-sha-256' })
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    workers: 1,
    extra: {
      proxy: `tls:
    cert: ${file('server.pem', server.server.certPem)}
    key: file:${file('server.key', server.server.keyPem)}
    clientCa: ${file('clients.pem', authority.caPem)}
    clientCrl: ${file('clients.crl', authority.revoke(revoked.certPem))}
    clientCertificates:
      - { issuer: 'spiffe://acme.example', subject: uri, names: ['spiffe://acme.example/agents/*'], groups: [agents] }
      - { issuer: hosts, subject: dns, names: [ci-1.acme.example], groups: [agents], askForToken: true }
      - { issuer: names, subject: commonName, names: [stranger], groups: [others] }`,
    },
  })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
  rmSync(dir, { recursive: true, force: true })
})

interface Ended {
  readonly out: string
  readonly err: string
  /** A refusal's reason in the gate's log. */
  readonly why: string
  /** Who was refused, in the same line. */
  readonly subject: string
}

let files = 0

async function psql(certificate: CertificateAndKey | undefined, token = ''): Promise<Ended> {
  const name = join(dir, `client-${files++}`)
  writeFileSync(`${name}.pem`, certificate?.certPem ?? '')
  writeFileSync(`${name}.key`, certificate?.keyPem ?? '', { mode: 0o600 })
  const shown = certificate ? `sslcert=${name}.pem sslkey=${name}.key` : 'sslcert=/none'
  const at = `host=127.0.0.1 port=${system.value.port()} user=shop dbname=postgres sslmode=require ${shown}`
  const result = await run(findPsql() ?? 'psql', [at, '-wXAtc', 'select 1'], {
    env: { ...process.env, PGPASSWORD: token, PGCONNECT_TIMEOUT: '10' },
  }).catch((error: { stdout: string; stderr: string }) => error)
  const [, decision] = /decision=([0-9A-Z]{26})/.exec(result.stderr) ?? []
  const told = decision ? await lineOf(decision) : {}
  return { out: result.stdout, err: result.stderr, why: told.why ?? '', subject: told.subject ?? '' }
}

async function lineOf(decision: string): Promise<{ why?: string; subject?: string }> {
  for (let tries = 0; tries < 200; tries++) {
    const line = system.value
      .log()
      .split('\n')
      .find((one) => one.includes(decision) && one.endsWith('}'))
    if (line) return JSON.parse(line) as { why?: string; subject?: string }
    await sleep(10)
  }
  throw new Error(`the log says nothing of decision ${decision}`)
}

function thumbprintOf({ certPem }: CertificateAndKey): string {
  return createHash('sha256').update(new X509Certificate(certPem).raw).digest('base64url')
}

function boundTo(certificate: CertificateAndKey): Promise<string> {
  const claims = { sub: 'bound', groups: ['agents'], cnf: { 'x5t#S256': thumbprintOf(certificate) } }
  return system.value.issuer.sign(claims)
}

async function refused(
  certificate: CertificateAndKey | undefined,
  token: string,
  why: RegExp,
): Promise<void> {
  const ended = await psql(certificate, token)
  assert.equal(ended.out, '')
  assert.match(ended.err, /not authorised/)
  assert.match(ended.why, why)
}

test('a certificate alone proves, and no token is asked for', async () => {
  const { out, err } = await psql(planner)
  assert.equal(err, '')
  assert.equal(out, '1\n')
  // Whatever a client has in its environment is not asked for, either.
  assert.equal((await psql(planner, 'whatever')).out, '1\n')
})

test('a certificate of another authority, over, not yet valid, for servers or revoked is refused with its reason', async () => {
  const names = { commonName: 'planner', uris: [agent('planner')] }
  const hour = 3_600_000
  const now = Date.now()
  const cases: [CertificateAndKey, RegExp][] = [
    [makeAuthority().issue(names), /^certificate: .*SIGNATURE/],
    [makeAuthority('Another').issue(names), /^certificate: .*UNABLE_TO_/],
    [authority.issue({ ...names, until: now - 1000 }), /^certificate: .*CERT_HAS_EXPIRED/],
    [authority.issue({ ...names, from: now + hour / 2 }), /^certificate: .*CERT_NOT_YET_VALID/],
    [authority.issue({ ...names, usage: 'serverAuth' }), /^certificate: .*INVALID_PURPOSE/],
    [revoked, /^certificate: .*CERT_REVOKED/],
  ]
  for (const [certificate, why] of cases) await refused(certificate, '', why)
  // A token that is right does not make up for it.
  await refused(revoked, await system.value.token('somebody'), /CERT_REVOKED/)
})

test('a certificate that no rule names proves nobody, and a token goes with it as without it', async () => {
  assert.match((await psql(unnamed)).err, /no password supplied/)
  await refused(unnamed, 'not-a-token', /^malformed/)
  assert.equal((await psql(unnamed, await system.value.token('somebody'))).out, '1\n')
})

test('whom a certificate proves has the groups of its rule and no more', async () => {
  const { err, why, subject } = await psql(authority.issue({ commonName: 'stranger' }))
  assert.match(err, /not authorised/)
  assert.match(why, /group/)
  assert.equal(subject, 'stranger')
})

test('without a certificate nothing has changed', async () => {
  assert.equal((await psql(undefined, await system.value.token('somebody'))).out, '1\n')
  assert.match((await psql(undefined)).err, /no password supplied/)
})

test('a token that is bound to a certificate is good with that one only', async () => {
  assert.equal((await psql(unnamed, await boundTo(unnamed))).out, '1\n')
  assert.equal((await psql(asked, await boundTo(asked))).out, '1\n')
  const stolen = await boundTo(unnamed)
  await refused(undefined, stolen, /^bound_to_key: .*this connection has none/)
  await refused(asked, stolen, /^bound_to_key: .*another client certificate/)
  // The name is not what it is bound to.
  await refused(
    authority.issue({ commonName: 'nobody' }),
    stolen,
    /^bound_to_key: .*another client certificate/,
  )
  // Used rightly in between, it stands in the cache.
  assert.equal((await psql(unnamed, stolen)).out, '1\n')
  await refused(undefined, stolen, /^bound_to_key/)
})

test('a token that is bound to a key of DPoP has no way to be shown here', async () => {
  const token = await system.value.issuer.sign({ sub: 'a', groups: ['agents'], cnf: { jkt: 'A'.repeat(43) } })
  await refused(undefined, token, /^bound_to_key: .*cnf\.jkt.*HTTP requests only/)
  await refused(asked, token, /^bound_to_key/)
})

test('swapped: a certificate with the key of another is not even TLS', async () => {
  const { out, err } = await psql({ certPem: planner.certPem, keyPem: other.keyPem })
  assert.equal(out, '')
  assert.match(err, /key/)
})
