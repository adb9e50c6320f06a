/**
 * The two sides of every comparison: one PostgreSQL, reached directly and through a real proxy with its own processes.
 * Both speak TLS with the same certificate authority, and plain on loopback.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Started } from '@portcullis/kernel'
import { type Postgres, type PostgresOptions, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem } from '@portcullis/testkit/system'

export interface Side {
  readonly name: 'direct' | 'gate'
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}

/** Beside the database that the works change there is `still`, the same but for ever as it was made. */
export interface Bed {
  readonly postgres: Postgres
  readonly direct: Side
  readonly gate: Side
  /** PEM file of the authority that signed both certificates. */
  readonly caFile: string
  /** Drops what the last client left and makes what the works find anew. */
  reset(): Promise<void>
}

const setup = ['setup.sql', 'psql-objects.sql'].map((name) =>
  readFileSync(join(import.meta.dirname, name), 'utf8'),
)

export async function startBed(server: PostgresOptions = {}): Promise<Started<Bed>> {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-clients-'))
  chmodSync(dir, 0o755)
  const postgres = await startPostgres({ ssl: true, ...server })
  const { host, port, user, password, database, tls } = postgres.value
  if (!tls) throw new Error('the server has no certificate')
  const file = (name: string, text: string) => {
    const path = join(dir, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const caFile = file('ca.pem', tls.caPem)
  const certificate = file('gate.crt', tls.server.certPem)
  const key = file('gate.key', tls.server.keyPem)
  const removeAll = async () => {
    await postgres.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  const system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    extra: { proxy: `tls: { cert: '${certificate}', key: 'file:${key}' }` },
  }).catch(async (error) => {
    await removeAll()
    throw error
  })
  await postgres.value.query('create database still')
  for (const sql of setup) await postgres.value.query(sql, [], 'still')
  const direct: Side = { name: 'direct', host, port, user, password, database }
  const token = await system.value.token('agent:clients')
  const gate: Side = { ...direct, name: 'gate', port: system.value.port(), user: 'shop', password: token }
  return {
    value: {
      postgres: postgres.value,
      direct,
      gate,
      caFile,
      async reset() {
        for (const sql of setup) await postgres.value.query(sql)
      },
    },
    async stop() {
      await system.stop()
      await removeAll()
    },
  }
}
