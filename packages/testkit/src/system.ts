/**
 * Portcullis as its real processes, for tests that kill them and for measurements: the services of this repository by
 * their own main files, a configuration file, health endpoints. It imports no service; what it starts it ends.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Started } from '@portcullis/kernel'
import { type Engine, startEngine } from '@portcullis/platform/audit'
import { startTestIssuer, type TestIssuer } from './tokens.ts'

const root = join(import.meta.dirname, '../../..')
const apiToken = 'a-token-for-tests-only'
const ownKey = randomBytes(32).toString('base64')
/** Types stripped and code compiled once for all runs: half of what a start costs. */
const compiled = join(root, 'node_modules/.cache/compiled')

export type Part = 'proxy' | 'analyzer' | 'projector' | 'query-api' | 'alerts'

const scripts: Record<Part, string> = {
  proxy: 'services/proxy/src/main.ts',
  analyzer: 'services/analyzer/src/main.ts',
  projector: 'services/query-api/src/projector/main.ts',
  'query-api': 'services/query-api/src/main.ts',
  alerts: 'services/alerts/src/main.ts',
}

export interface SystemOptions {
  /** The target `shop`. */
  readonly postgres: {
    readonly host: string
    readonly port: number
    readonly user: string
    readonly password: string
    readonly database: string
  }
  /** Further targets by these names, all of them this same server with these credentials. */
  readonly targets?: readonly string[]
  /** How the gate signs in at `shop`, as YAML, where not as the server's superuser. */
  readonly credentials?: string
  readonly parts: readonly Part[]
  /** kafka://HOST:PORT; the embedded bus where absent. */
  readonly kafka?: string
  readonly workers?: number
  /** YAML lines put under a section, such as `{ proxy: 'mode: observe', shop: 'caps: { sessions: 3 }' }`. */
  readonly extra?: Partial<
    Record<
      | 'identity'
      | 'issuer'
      | 'proxy'
      | 'recorder'
      | 'analyzer'
      | 'shop'
      | 'alerts'
      | 'bus'
      | 'secrets'
      | 'ssh'
      | 'people'
      | 'approvals'
      | 'masking',
      string
    >
  >
  /** Rules for what may run, as YAML. */
  readonly policy?: string
  /** Of every part, beside this process's own. */
  readonly env?: Readonly<Record<string, string>>
  /** Of the API, where somebody has to know it before it starts; a free one otherwise. */
  readonly apiPort?: number
  /** Further proxies (by name) beside the one named `gate-1`; each a part `proxy:NAME`. */
  readonly proxies?: readonly string[]
}

export interface System {
  readonly dir: string
  readonly issuer: TestIssuer
  /** Port of the Postgres door of a proxy. */
  port(proxy?: string): number
  readonly apiUrl: string
  readonly apiToken: string
  readonly engine: Engine | undefined
  /** A token of this subject, of group `agents`. */
  token(subject: string): Promise<string>
  /** postgres://shop:TOKEN@127.0.0.1:PORT/ */
  url(subject: string, proxy?: string): Promise<string>
  pid(part: string): number
  /** http://HOST:PORT of a part's /healthz, /readyz and /metrics. */
  healthUrl(part: string): string
  /** Pids of a part's own child processes whose command line contains `script`. */
  childrenOf(part: string, script: string): number[]
  /** SIGKILL to the whole of a part (group, the default) or to its first process alone, and a start anew. */
  kill9(part: string, whom?: 'group' | 'alone'): Promise<void>
  killEngine9(): Promise<void>
  stopPart(part: string): Promise<void>
  startPart(part: string): Promise<void>
  /** What all parts wrote. */
  log(): string
}

export async function startSystem(options: SystemOptions): Promise<Started<System>> {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-system-'))
  const issuer = await startTestIssuer()
  const names = ['gate-1', ...(options.proxies ?? [])]
  const [freePort, analyzer, projector, alerts, ...proxyPorts] = await freePorts(4 + 2 * names.length)
  const api = options.apiPort ?? freePort
  const logFile = join(dir, 'log.jsonl')
  writeFileSync(logFile, '')
  const needsEngine = options.parts.includes('projector') || options.parts.includes('query-api')
  let engine: Started<Engine> | undefined
  const engineLog = logTo(logFile)
  const startTheEngine = (at: { port?: number; password?: string }) =>
    startEngine({ dir: join(dir, 'audit'), log: engineLog, ...at })
  if (needsEngine) engine = await startTheEngine({})

  const doors = new Map(
    names.map((name, index) => [
      name,
      { door: proxyPorts[2 * index] ?? 0, health: proxyPorts[2 * index + 1] ?? 0 },
    ]),
  )
  if (options.policy !== undefined) writeFileSync(join(dir, 'policy.yaml'), options.policy)
  for (const [name, { door, health }] of doors) {
    writeFileSync(
      join(dir, `${name}.yaml`),
      configuration({
        name,
        door,
        health,
        api,
        analyzer,
        projector,
        alerts,
        issuer: issuer.value.issuer,
        options,
      }),
    )
  }
  const healths: Record<Part, number | undefined> = {
    proxy: undefined,
    analyzer,
    projector,
    alerts,
    'query-api': api,
  }
  const running = new Map<string, ChildProcess>()

  function healthUrl(part: string): string {
    const [kind, name = 'gate-1'] = part.split(':') as [Part, string?]
    return `http://127.0.0.1:${kind === 'proxy' ? doors.get(name)?.health : healths[kind]}`
  }

  async function startPart(part: string): Promise<void> {
    const [kind, name = 'gate-1'] = part.split(':') as [Part, string?]
    const child = spawn(
      process.execPath,
      [join(root, scripts[kind]), '--config', join(dir, `${name}.yaml`)],
      {
        env: {
          NODE_COMPILE_CACHE: compiled,
          ...process.env,
          ...options.env,
          SHOP_PASSWORD: options.postgres.password,
          API_TOKEN: apiToken,
          OWN_KEY: ownKey,
          ...(engine && {
            PORTCULLIS_ENGINE_URL: engine.value.url,
            PORTCULLIS_ENGINE_PASSWORD: engine.value.password,
          }),
        },
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        detached: true,
      },
    )
    running.set(part, child)
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (data) => appendFileSync(logFile, data))
    try {
      await ready(part, child, healthUrl(part), logFile)
    } catch (error) {
      // Or a second try would find the first one in its place.
      if (child.pid) killGroup(child.pid)
      throw error
    }
  }

  async function kill9(part: string, whom: 'group' | 'alone' = 'group'): Promise<void> {
    const child = running.get(part)
    if (!child?.pid) throw new Error(`${part} does not run`)
    if (whom === 'group') killGroup(child.pid)
    else child.kill('SIGKILL')
    await exited(child)
    await startPart(part)
  }

  async function stopPart(part: string): Promise<void> {
    const child = running.get(part)
    running.delete(part)
    if (!child) return
    child.kill('SIGTERM')
    await exited(child)
  }

  const parts = options.parts.flatMap((part) =>
    part === 'proxy' ? names.map((name) => `proxy:${name}`) : [part],
  )
  const stop = async () => {
    for (const child of running.values()) if (child.pid) killGroup(child.pid)
    await Promise.all([...running.values()].map(exited))
    await engine?.stop()
    await issuer.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    await Promise.all(parts.map(startPart))
  } catch (error) {
    await stop()
    throw error
  }

  const pidOf = (part: string) => running.get(part === 'proxy' ? 'proxy:gate-1' : part)?.pid ?? 0
  return {
    value: {
      dir,
      issuer: issuer.value,
      port: (proxy = 'gate-1') => doors.get(proxy)?.door ?? 0,
      apiUrl: `http://127.0.0.1:${api}`,
      apiToken,
      get engine() {
        return engine?.value
      },
      token: (subject) => issuer.value.sign({ sub: subject, groups: ['agents'] }, { ttlSec: 3600 }),
      url: async (subject, proxy = 'gate-1') =>
        `postgres://shop:${await issuer.value.sign({ sub: subject, groups: ['agents'] }, { ttlSec: 3600 })}@127.0.0.1:${doors.get(proxy)?.door}/`,
      pid: pidOf,
      healthUrl,
      childrenOf: (part, script) => childrenOf(pidOf(part), script),
      kill9,
      async killEngine9() {
        if (!engine) throw new Error('no engine runs')
        const { pid, port, password } = engine.value
        process.kill(pid, 'SIGKILL')
        await engine.value.exited
        engine = await startTheEngine({ port, password })
      },
      stopPart,
      startPart,
      log: () => readFileSync(logFile, 'utf8'),
    },
    stop,
  }
}

/**
 * Seconds of CPU that the living threads of a process have used, as the scheduler counts them (nanoseconds; the ticks in
 * /proc/PID/stat miss whoever sleeps most of the time). Linux only.
 */
export function cpuSec(pid: number): number {
  let nanoseconds = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
    } catch {
      // A thread that has just ended.
    }
  }
  return nanoseconds / 1e9
}

/** Resident bytes of a process. Linux only. */
export function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096
}

interface ConfigurationParts {
  readonly name: string
  readonly door: number
  readonly health: number
  readonly api: number | undefined
  readonly analyzer: number | undefined
  readonly projector: number | undefined
  readonly alerts: number | undefined
  readonly issuer: string
  readonly options: SystemOptions
}

function configuration({
  name,
  door,
  health,
  api,
  analyzer,
  projector,
  alerts,
  issuer,
  options,
}: ConfigurationParts): string {
  const { postgres, targets = [], extra = {}, kafka, workers = 2 } = options
  const lines = (text: string | undefined, indent: number) =>
    text === undefined ? '' : `\n${text.replace(/^/gm, ' '.repeat(indent))}`
  const section = (name: string, text: string | undefined) =>
    text === undefined ? '' : `${name}:${lines(text, 2)}\n`
  const own = `{ user: '${postgres.user}', password: 'env:SHOP_PASSWORD' }`
  const target = (name: string, credentials = own) => `
  - name: ${name}
    protocol: postgres
    address: ${postgres.host}:${postgres.port}
    database: ${postgres.database}
    tls: { mode: disable }
    credentials: ${credentials}
    groups: [agents]`
  return `
dataDir: ./data
bus:
  url: ${kafka ?? 'lmdb:./bus'}${lines(extra.bus, 2)}
audit: embedded:./audit
identity:
  issuers:
    - issuer: '${issuer}'
      audience: [portcullis]
      jwksCacheSec: 3600${lines(extra.issuer, 6)}
  own: { key: 'env:OWN_KEY' }${lines(extra.identity, 2)}
${options.policy === undefined ? '' : 'policy: { file: ./policy.yaml }\n'}${section('approvals', extra.approvals)}${section('masking', extra.masking)}${section('ssh', extra.ssh)}${section('people', extra.people)}${section('secrets', extra.secrets)}targets:${target('shop', options.credentials)}${lines(extra.shop, 4)}${targets.map((other) => target(other)).join('')}
proxy:
  name: ${name}
  workers: ${workers}
  listen: { postgres: '127.0.0.1:${door}' }
  health: 127.0.0.1:${health}
${/drainSecMax/.test(extra.proxy ?? '') ? '' : '  drainSecMax: 2\n'}  recorder:
    onUnavailable: deny${lines(extra.recorder, 4)}${lines(extra.proxy, 2)}
analyzer:
  health: 127.0.0.1:${analyzer}${lines(extra.analyzer, 2)}
projector: { health: '127.0.0.1:${projector}' }
alerts:
  health: 127.0.0.1:${alerts}${lines(extra.alerts, 2)}
api:
  listen: 127.0.0.1:${api}
  tokens: [{ name: test, role: admin, token: 'env:API_TOKEN' }]
`
}

async function ready(part: string, child: ChildProcess, health: string, logFile: string): Promise<void> {
  const deadline = Date.now() + 40_000
  let answer = ''
  while (child.exitCode === null && child.signalCode === null) {
    answer = await fetch(`${health}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
      async (response) => (response.ok ? 'ready' : await response.text()),
      (error: Error) => error.message,
    )
    if (answer === 'ready') return
    if (Date.now() > deadline) break
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`${part} is not ready (${answer}):\n${readFileSync(logFile, 'utf8').slice(-3000)}`)
}

function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => child.once('exit', () => resolve()))
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function childrenOf(pid: number, script: string): number[] {
  // Of all processes: asked for none, ps fails.
  const out = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(pid), '-p', '1'], { encoding: 'utf8' })
  return out.split('\n').flatMap((line) => (line.includes(script) ? [Number.parseInt(line, 10)] : []))
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer()
      return new Promise<typeof server>((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
    }),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

function logTo(file: string) {
  mkdirSync(join(file, '..'), { recursive: true })
  const write = (fields: unknown, message?: string) =>
    appendFileSync(file, `${JSON.stringify({ fields, message })}\n`)
  return { info: write, warn: write, error: write, debug: () => undefined }
}
