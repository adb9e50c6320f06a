/**
 * The three roads to one PostgreSQL that every group measures in turn: direct, by pgbouncer, by the gate with recording
 * on. Each takes plain and TLS clients on the same port; towards the server all roads are plain.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Started } from '@portcullis/kernel'
import { type Postgres, type PostgresOptions, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System, type SystemOptions } from '@portcullis/testkit/system'
import type { Parts } from './figures.ts'
import { startPgbouncer } from './pgbouncer.ts'

export interface Side {
  /** `direct`, `pgbouncer`, `gate`, or the name of another gateway. */
  readonly name: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** Whose CPU and memory is what this side adds. */
  parts(): Parts
}

export interface Bench {
  /** Open to every user; gone after `stop`. */
  readonly dir: string
  readonly postgres: Postgres
  readonly system: System
  readonly direct: Side
  readonly pgbouncer: Side
  readonly gate: Side
  readonly caPem: string
}

export interface BenchOptions {
  readonly settings?: PostgresOptions['settings']
  /** Of pgbouncer; PostgreSQL must have room for as many. */
  readonly clientsMax?: number
  readonly extra?: SystemOptions['extra']
  readonly env?: SystemOptions['env']
  readonly postgresPort?: number
}

/** One worker, so that CPU and throughput are those of one process against pgbouncer's one. */
export async function startBench(options: BenchOptions = {}): Promise<Started<Bench>> {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-bench-'))
  chmodSync(dir, 0o755)
  const stops: (() => Promise<void>)[] = []
  const stop = async () => {
    for (const one of stops.reverse()) await one()
    rmSync(dir, { recursive: true, force: true })
  }
  const started = <T>(part: Started<T>): T => {
    stops.push(part.stop)
    return part.value
  }
  try {
    const postgres = started(
      await startPostgres({
        auth: 'password',
        ssl: true,
        ...(options.postgresPort && { port: options.postgresPort }),
        settings: { max_connections: 300, ...options.settings },
      }),
    )
    const bouncer = started(await startPgbouncer(dir, postgres, options.clientsMax ?? 100))
    const { tls, user, password, port } = postgres
    if (!tls) throw new Error('PostgreSQL was started without TLS')
    writeFileSync(join(dir, 'gate.crt'), tls.server.certPem)
    writeFileSync(join(dir, 'gate.key'), tls.server.keyPem, { mode: 0o600 })
    const system = started(
      await startSystem({
        postgres,
        parts: ['proxy'],
        workers: 1,
        ...(options.env && { env: options.env }),
        extra: {
          ...options.extra,
          proxy: `tls: { cert: '${join(dir, 'gate.crt')}', key: 'file:${join(dir, 'gate.key')}' }${options.extra?.proxy ? `\n${options.extra.proxy}` : ''}`,
        },
      }),
    )
    const value: Bench = {
      dir,
      postgres,
      system,
      caPem: tls.caPem,
      direct: { name: 'direct', port, user, password, parts: () => ({}) },
      pgbouncer: {
        name: 'pgbouncer',
        port: bouncer.port,
        user,
        password,
        parts: () => ({ pgbouncer: [bouncer.pid] }),
      },
      gate: {
        name: 'gate',
        port: system.port(),
        user: 'shop',
        password: await system.token('bench'),
        parts: () => partsOf(system),
      },
    }
    return { value, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export function partsOf(system: System): Parts {
  return {
    worker: system.childrenOf('proxy', 'worker.ts'),
    agent: system.childrenOf('proxy', 'agent/main.ts'),
    supervisor: [system.pid('proxy')],
  }
}
