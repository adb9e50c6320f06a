/**
 * What it costs to prove a token, to open a session with it and to place an address, on this machine, beside the bare
 * libraries underneath. Prints a table and writes results/identity.json. Takes about half a minute of one core.
 *
 *   node load-tests/identity.ts
 */
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  apiKeyRandomBytes,
  createOriginResolver,
  createProver,
  createTokenVerifier,
  makeApiKey,
  mintToken,
  type TokenVerifier,
} from '@portcullis/identity'
import { systemClock } from '@portcullis/kernel'
import { startTestIssuer } from '@portcullis/testkit/tokens'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { open, type Response } from 'maxmind'
import { measureSessions } from './identity/sessions.ts'

interface Row {
  readonly row: string
  readonly value: number
  readonly unit: string
  /** What the same costs with the library alone, in the same unit and run. */
  readonly against: number | null
  readonly ratio: number | null
  /** The value must be under it, or above it where it is a rate. */
  readonly aim: number | null
  readonly met: boolean | null
}

const rows: Row[] = []
const rateUnit = 'a CPU second'
const log = { info() {}, warn() {} }
const freshAimUs: Record<string, number> = { RS256: 1000, PS256: 1000, ES256: 1000, EdDSA: 1000 }

/** What a CI provider's issuer would be given, over the claims that the tokens here have. */
const expressions = {
  conditions: [
    'claims.sub.startsWith("agent-")',
    '"analysts" in claims.groups',
    'claims.act.sub == "agent-7" && !has(claims.environment)',
  ],
  subject: '"ci:" + claims.sub',
  addGroups: ['ci'],
  instance: 'claims.jti',
}

// Origins first: the memory that they take shows only before the heap has been stirred.
await measureOrigins()
await measureTokens(['RS256', 'PS256', 'ES256', 'EdDSA'])
await measureDoor()
await measureOwn()
await report()

async function measureTokens(algorithms: readonly string[]): Promise<void> {
  const { value: issuer, stop } = await startTestIssuer({ algorithms })
  const config = { issuer: issuer.issuer, audience: ['portcullis'] }
  const verifier = createTokenVerifier({ issuers: [config], clock: systemClock, log })
  const claims = { groups: ['analysts', 'on-call', 'eu'], act: { sub: 'agent-7', act: { sub: 'planner' } } }

  for (const alg of algorithms) {
    const tokens = await Promise.all(
      Array.from({ length: 1500 }, (_, at) => issuer.sign({ ...claims, sub: `agent-${at}` }, { alg })),
    )
    const find = createLocalJWKSet({ keys: [await issuer.publicJwk(alg)] })
    const options = { issuer: issuer.issuer, audience: 'portcullis', algorithms: [alg] }
    // One after another, as logins come; the bare library in turn with ours, so that both see the same machine.
    const oursUs: number[] = []
    const bareUs: number[] = []
    for (const token of tokens) {
      bareUs.push(await timeUs(() => jwtVerify(token, find, options)))
      oursUs.push(await timeUs(() => verifier.verify(token)))
    }
    add(
      `fresh token, ${alg}, p50 (against jose alone)`,
      quantile(oursUs, 0.5),
      'us',
      quantile(bareUs, 0.5),
      freshAimUs[alg],
    )
    add(`fresh token, ${alg}, p99 (against jose alone)`, quantile(oursUs, 0.99), 'us', quantile(bareUs, 0.99))
    const plain = createTokenVerifier({ issuers: [config], clock: systemClock, log })
    addRate(`distinct tokens proven, ${alg}, all threads' CPU`, await perCpuSec(plain, tokens))
    const mapped = createTokenVerifier({ issuers: [{ ...config, ...expressions }], clock: systemClock, log })
    addRate(
      `distinct tokens proven, ${alg}, with three conditions and a mapping`,
      await perCpuSec(mapped, tokens),
    )
  }

  const token = await issuer.sign({ ...claims, sub: 'agent-7' })
  await verifier.verify(token)
  add(
    'token proven before, verifyCached',
    batchedUs(200_000, () => verifier.verifyCached(token)),
    'us',
    null,
    50,
  )
  const againUs: number[] = []
  for (let at = 0; at < 20_000; at += 1) againUs.push(await timeUs(() => verifier.verify(token)))
  add('token proven before, verify, p50', quantile(againUs, 0.5), 'us', null, 50)
  add('token proven before, verify, p99', quantile(againUs, 0.99), 'us')

  const forged = `${token.slice(0, -8)}AAAAAAAA`
  const forgedUs: number[] = []
  for (let at = 0; at < 2000; at += 1)
    forgedUs.push(await timeUs(() => verifier.verify(forged).catch(() => {})))
  add('forged token refused, p50', quantile(forgedUs, 0.5), 'us')
  await stop()
}

async function perCpuSec(verifier: TokenVerifier, tokens: readonly string[]): Promise<number> {
  await verifier.warmUp()
  const before = process.cpuUsage()
  const queue = [...tokens]
  const login = async () => {
    for (let token = queue.pop(); token !== undefined; token = queue.pop()) await verifier.verify(token)
  }
  await Promise.all([login(), login(), login(), login()])
  const { user, system } = process.cpuUsage(before)
  return (tokens.length * 1e6) / (user + system)
}

async function measureDoor(): Promise<void> {
  const { distinctIdentityUs, distinctTokenUs, ownTokenUs, sameTokenUs } = await measureSessions(600)
  const what = 'new sessions through the gate'
  addRate(`${what} (ES256), worker CPU, tokens of as many identities`, 1e6 / distinctIdentityUs)
  addRate(`${what} (ES256), worker CPU, tokens of one identity`, 1e6 / distinctTokenUs)
  addRate(`${what} (own tokens, EdDSA), worker CPU, of as many identities`, 1e6 / ownTokenUs)
  add('one new session, token not seen before (against one seen)', distinctTokenUs, 'us', sameTokenUs)
}

/** What Portcullis gives out itself: tokens of its own and API keys, by the same verifier that the proxy has. */
async function measureOwn(): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const own = { issuer: 'http://127.0.0.1:8080', audience: 'portcullis' }
  const nowUs = systemClock.nowUs()
  const issuers = { verify: () => Promise.reject(new Error('no issuer is asked here')) }
  const prover = createProver({ own, issuers, clock: systemClock, log })
  const made = makeApiKey(randomBytes(apiKeyRandomBytes))
  const publicJwk = JSON.stringify(publicKey.export({ format: 'jwk' }))
  const key = {
    ...{ keyId: made.keyId, hash: made.hash, description: '', subject: 'backup', groups: ['agents'] },
    ...{ targets: ['shop'], networks: ['10.0.0.0/8'], expiresAt: nowUs + 3.6e9 },
    ...{ enabled: true, createdAt: nowUs, createdBy: 'x|y' },
  }
  prover.replace({
    removedIssuers: [],
    signingKeys: [{ keyId: 'k', algorithm: 'EdDSA', publicJwk, addedAt: nowUs }],
    apiKeys: [key],
  })
  const grant = {
    identity: {
      ...{ issuer: 'https://ci.example', subject: 'repo:acme/shop', groups: ['analysts', 'on-call', 'eu'] },
      ...{ delegation: [], task: 'nightly report', ancestors: ['https://ci.example job-1'] },
    },
    scope: { targets: ['shop'] },
    expiresAtUs: nowUs + 3.6e9,
  }
  const mint = (n: number) =>
    mintToken(grant, { ...own, keyId: 'k', privateKey, nowUs, tokenId: `token-${n}` })
  const mintedUs: number[] = []
  const freshUs: number[] = []
  const againUs: number[] = []
  const keyUs: number[] = []
  for (let n = 0; n < 1500; n += 1) {
    mintedUs.push(await timeUs(() => mint(n)))
    const token = await mint(n)
    freshUs.push(await timeUs(() => prover.prove(token, {})))
    for (let at = 0; at < 5; at += 1) againUs.push(await timeUs(() => prover.prove(token, {})))
    keyUs.push(await timeUs(() => prover.prove(made.key, { address: '10.1.2.3' })))
  }
  add('own token, minted, p50', quantile(mintedUs, 0.5), 'us')
  add('own token, fresh, p50', quantile(freshUs, 0.5), 'us', null, 1000)
  add('own token, proven before, p50', quantile(againUs, 0.5), 'us', null, 50)
  add('API key, p50', quantile(keyUs, 0.5), 'us', null, 50)
}

async function measureOrigins(): Promise<void> {
  const cacheDir = await mkdtemp(join(tmpdir(), 'portcullis-identity-'))
  // In a process of its own, as its memory would count here. Started twice, so that only the compiling is left.
  const [first, second] = [startElsewhere(cacheDir), startElsewhere(cacheDir)]
  add(
    'list of autonomous systems compiled, once a machine, CPU',
    first.cpuMs - second.cpuMs,
    'ms',
    null,
    2000,
  )
  const before = process.memoryUsage()
  const startedMs = performance.now()
  const cpuBefore = process.cpuUsage()
  const origins = await createOriginResolver({}, { cacheDir })
  add('origin resolver, start', performance.now() - startedMs, 'ms', null, 1000)
  const { user, system } = process.cpuUsage(cpuBefore)
  add('origin resolver, start, CPU', (user + system) / 1000, 'ms', null, 100)
  const after = process.memoryUsage()
  add('origin resolver, resident memory', (after.rss - before.rss) / 2 ** 20, 'MiB', null, 32)
  add('  of it autonomous systems', second.systemsMiB, 'MiB', null, 8)

  const bare = await open<Response>(countryDb())
  const v4 = Array.from({ length: 100_000 }, () =>
    [1 + random(222), random(256), random(256), random(256)].join('.'),
  )
  const v6 = Array.from(
    { length: 100_000 },
    () =>
      `2${random(4096).toString(16).padStart(3, '0')}:${random(65536).toString(16)}::${random(65536).toString(16)}`,
  )
  await rm(cacheDir, { recursive: true })
  for (const [name, addresses] of [
    ['IPv4', v4],
    ['IPv6', v6],
  ] as const) {
    let at = 0
    const next = () => addresses[at++ % addresses.length] ?? ''
    const bareUs = batchedUs(addresses.length, () => bare.get(next()))
    add(
      `origin of an ${name} address (against maxmind's country alone)`,
      batchedUs(addresses.length, () => origins.resolve(next())),
      'us',
      bareUs,
      50,
    )
  }
}

/** What a process pays that starts a resolver: CPU, and memory beyond what its database of countries takes. */
function startElsewhere(cacheDir: string): { cpuMs: number; systemsMiB: number } {
  const script = `
    import { createOriginResolver } from '@portcullis/identity'
    const asnDb = ${JSON.stringify(countryDb())}
    const measured = async (databases) => {
      gc()
      const [cpu, rss] = [process.cpuUsage(), process.memoryUsage().rss]
      const kept = await createOriginResolver(databases, { cacheDir: ${JSON.stringify(cacheDir)} })
      const { user, system } = process.cpuUsage(cpu)
      gc()
      return { kept, cpuMs: (user + system) / 1000, miB: (process.memoryUsage().rss - rss) / 2 ** 20 }
    }
    // The same file twice, in place of the list: what one costs is known by that.
    const warm = await measured({ asnDb })
    const twice = await measured({ asnDb })
    const both = await measured({})
    console.log(JSON.stringify({ cpuMs: both.cpuMs, systemsMiB: both.miB - twice.miB / 2, kept: [warm, twice].length }))`
  const flags = ['--expose-gc', '--input-type=module', '-e', script]
  return JSON.parse(execFileSync(process.execPath, flags, { cwd: import.meta.dirname, encoding: 'utf8' }))
}

function countryDb(): string {
  return createRequire(import.meta.resolve('@portcullis/identity')).resolve(
    '@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb',
  )
}

async function report(): Promise<void> {
  const text = (value: number | null) => (value === null ? '' : value.toFixed(2))
  console.table(
    rows.map(({ row, value, unit, against, ratio, aim, met }) => ({
      what: row,
      value: `${text(value)} ${unit}`,
      against: text(against),
      ratio: text(ratio),
      aim: aim === null ? '' : `${unit === rateUnit ? '>' : '<'} ${aim}`,
      met: met === null ? '' : met ? 'yes' : 'NO',
    })),
  )
  const commit = execFileSync('git', ['rev-parse', 'HEAD'], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  }).trim()
  const result = { commit, date: new Date().toISOString(), node: process.version, rows }
  await writeFile(new URL('./results/identity.json', import.meta.url), `${JSON.stringify(result, null, 2)}\n`)
}

function add(
  row: string,
  value: number,
  unit: string,
  against: number | null = null,
  aim: number | null = null,
): void {
  const ratio = against === null ? null : value / against
  rows.push({ row, value, unit, against, ratio, aim, met: aim === null ? null : value < aim })
}

function addRate(row: string, value: number): void {
  rows.push({ row, value, unit: rateUnit, against: null, ratio: null, aim: 1000, met: value >= 1000 })
}

async function timeUs(run: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await run()
  return (performance.now() - startedMs) * 1000
}

/** Cost of one run: the median over batches of 100, so that what else the machine does falls out. */
function batchedUs(times: number, run: () => unknown): number {
  const batches: number[] = []
  for (let done = 0; done < times; done += 100) {
    const startedMs = performance.now()
    for (let at = 0; at < 100; at += 1) run()
    batches.push((performance.now() - startedMs) * 10)
  }
  return quantile(batches, 0.5)
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

function random(below: number): number {
  return Math.floor(Math.random() * below)
}
