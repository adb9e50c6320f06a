/**
 * A real PostgreSQL for tests and for the local demo: initdb'ed, configured and run by ourselves, on loopback only.
 * Refuses to listen anywhere else, and never touches a data folder that another server still uses.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import pg from 'pg'
import { makeCertificates, type TestCertificates } from './certificates.ts'
import {
  cleanEnv,
  findPostgres,
  findRunAs,
  isReachableByAll,
  type PostgresBinaries,
  type PostgresVersion,
  type RunAs,
} from './postgres-binaries.ts'
import {
  loopback,
  type Passwords,
  type PostgresAuth,
  prepareDataDir,
  setPasswords,
  testPasswords,
  writeAccess,
  writeTls,
} from './postgres-data.ts'

export { findPgbench, findPsql, hasPsql } from './postgres-binaries.ts'

export type PostgresOptions = {
  /** One that this machine has, or programs that lie elsewhere. */
  version?: PostgresVersion | PostgresBinaries
  auth?: PostgresAuth
  /** Any of postgresql.conf, for example `{ log_statement: 'all' }`. */
  settings?: Record<string, string | number | boolean>
  /** TLS with a certificate made for this server; 'required' refuses plaintext. */
  ssl?: boolean | 'required'
  /** In place of those made for this server. */
  certificates?: TestCertificates
  /** Kept after `stop`, made when it is empty. Without it a temporary one is used and removed. */
  dataDir?: string
  /** 0, the default, takes a free one. */
  port?: number
  /** Passwords of the superuser `postgres` and the ordinary role `app`; otherwise constants fit for tests only. */
  passwords?: Passwords
  /** On for data that is to be kept. Default off. */
  fsync?: boolean
}

export type Postgres = {
  host: string
  port: number
  /** The superuser. */
  user: string
  password: string
  database: string
  url: string
  /** A role without any privilege of its own; in `database` it may create in schema public. */
  app: { user: string; password: string; url: string }
  tls: TestCertificates | undefined
  dataDir: string
  logFile: string
  /** Pid of the postmaster. */
  pid(): number
  /** What the server wrote to its log so far. */
  log(): string
  /** One statement (with parameters), or several, over a connection of its own as the superuser. */
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    sql: string,
    params?: unknown[],
    database?: string,
  ): Promise<pg.QueryResult<Row>>
  /** Fast shutdown and start on the same port and data. */
  restart(): Promise<void>
  /** SIGKILL to the postmaster; its backends follow. `restart` brings it back. */
  kill9(): Promise<void>
  /** Resolves when the server process has ended, for whatever reason. */
  exited(): Promise<void>
}

const host = loopback

/** Starts a server and waits until it accepts connections (0.1 to 0.3 s after the first time). */
export async function startPostgres(options: PostgresOptions = {}): Promise<Started<Postgres>> {
  const { version = 'embedded' } = options
  const binaries = typeof version === 'string' ? findPostgres(version) : version
  const runAs = findRunAs()
  const auth = options.auth ?? 'scram-sha-256'
  const keep = options.dataDir !== undefined
  const root = options.dataDir ?? mkdtempSync(join(realpathSync(tmpdir()), 'portcullis-pg-'))
  if (runAs && !isReachableByAll(dirname(root))) {
    throw new Error(`${root}: PostgreSQL runs as uid ${runAs.uid}, which cannot enter a folder above it`)
  }
  if (!keep) chmodSync(root, 0o755)
  const dataDir = keep ? root : join(root, 'data')
  const logFile = keep ? `${root}.log` : join(root, 'postgres.log')

  prepareDataDir(dataDir, auth, binaries, runAs)
  const passwords = options.passwords ?? testPasswords
  if (options.passwords) setPasswords(dataDir, passwords, binaries, runAs)
  const tls = options.ssl ? (options.certificates ?? makeCertificates()) : undefined
  if (tls) writeTls(dataDir, tls, runAs)
  writeAccess(dataDir, auth, options.ssl === 'required')

  let port = options.port ?? 0
  let child: ChildProcess | undefined
  const launch = async () => {
    for (let attempt = 1; ; attempt += 1) {
      if (port === 0) port = await freePort()
      child = spawnServer({ dataDir, logFile, port, options, tls, binaries, runAs })
      const failure = await whenReady(child, dataDir, logFile)
      if (!failure) return
      // Right after a crash the old backends may still hold the shared memory for a moment.
      const passing = /shared memory block|in use|lock file .* already exists/.test(failure)
      if (!passing || attempt === 40) throw new Error(`PostgreSQL did not start: ${failure}`)
      if (/Address already in use/.test(failure) && !options.port) port = 0
      await delay(50)
    }
  }
  const end = async (signal: NodeJS.Signals) => {
    const running = child
    if (!running || running.exitCode !== null || running.signalCode !== null) return
    const gone = once(running, 'exit')
    running.kill(signal)
    const late = setTimeout(() => running.kill('SIGKILL'), 15_000)
    await gone
    clearTimeout(late)
  }
  const onExit = () => child?.kill('SIGQUIT')
  process.once('exit', onExit)
  try {
    await launch()
  } catch (error) {
    process.off('exit', onExit)
    if (!keep) rmSync(root, { recursive: true, force: true })
    throw error
  }

  const url = (user: string, password: string) =>
    `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/postgres`
  const value: Postgres = {
    host,
    port,
    user: 'postgres',
    password: passwords.superuser,
    database: 'postgres',
    url: url('postgres', passwords.superuser),
    app: { user: 'app', password: passwords.app, url: url('app', passwords.app) },
    tls,
    dataDir,
    logFile,
    pid: () => child?.pid ?? 0,
    log: () => readFileSync(logFile, 'utf8'),
    query: (sql, params, database) => queryOnce(value, sql, params, database),
    restart: async () => {
      await end('SIGINT')
      await launch()
    },
    kill9: () => end('SIGKILL'),
    exited: async () => {
      if (child && child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
  const stop = async () => {
    process.off('exit', onExit)
    await end(keep ? 'SIGINT' : 'SIGQUIT')
    if (!keep) rmSync(root, { recursive: true, force: true, maxRetries: 5 })
  }
  return { value, stop }
}

async function queryOnce<Row extends pg.QueryResultRow>(
  server: Postgres,
  sql: string,
  params?: unknown[],
  database = server.database,
): Promise<pg.QueryResult<Row>> {
  const ssl = server.tls ? { ca: server.tls.caPem, servername: 'localhost' } : false
  const { port, user, password } = server
  const client = new pg.Client({ host, port, user, password, database, ssl })
  await client.connect()
  try {
    return await client.query<Row>(sql, params)
  } finally {
    await client.end()
  }
}

function spawnServer(parts: {
  dataDir: string
  logFile: string
  port: number
  options: PostgresOptions
  tls: TestCertificates | undefined
  binaries: PostgresBinaries
  runAs: RunAs
}): ChildProcess {
  const { dataDir, logFile, port, options, tls, binaries, runAs } = parts
  const settings: Record<string, string | number | boolean> = {
    listen_addresses: host,
    port,
    unix_socket_directories: '',
    shared_buffers: '32MB',
    max_connections: 200,
    fsync: options.fsync ?? false,
    full_page_writes: options.fsync ?? false,
    logging_collector: false,
    autovacuum: false,
    ...(tls
      ? { ssl: true, ssl_cert_file: 'server.crt', ssl_key_file: 'server.key', ssl_ca_file: 'root.crt' }
      : {}),
    ...options.settings,
  }
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const log = openSync(logFile, 'a', 0o600)
  const child = spawn(join(binaries.binDir, 'postgres'), ['-D', dataDir, ...args], {
    env: { ...cleanEnv(), ...binaries.env },
    cwd: '/',
    stdio: ['ignore', log, log],
    ...(runAs ?? {}),
  })
  closeSync(log)
  return child
}

/** The postmaster writes its state into postmaster.pid; that is what pg_ctl waits for too. Returns why it failed. */
async function whenReady(child: ChildProcess, dataDir: string, logFile: string): Promise<string | undefined> {
  let spawnError: Error | undefined
  child.once('error', (error) => {
    spawnError = error
  })
  const deadline = Date.now() + 60_000
  while (Date.now() < deadline) {
    if (spawnError) return spawnError.message
    if (child.exitCode !== null || child.signalCode !== null) {
      return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-6).join('\n')
    }
    const lines = readIfThere(join(dataDir, 'postmaster.pid')).split('\n')
    if (Number(lines[0]) === child.pid && /^(ready|standby) *$/.test(lines[7] ?? '')) return undefined
    await delay(10)
  }
  child.kill('SIGKILL')
  return `not ready after 60 s; see ${logFile}`
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, host)
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}
