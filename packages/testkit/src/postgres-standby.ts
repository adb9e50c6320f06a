/**
 * A streaming standby of a server that runs: a base backup taken by hand (PostgreSQL manual, "Making a Base Backup Using
 * the Low Level API"), since the embedded build ships no pg_basebackup. Takes about as long as copying the data.
 */
import { chmodSync, chownSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Started } from '@portcullis/kernel'
import pg from 'pg'
import { findRunAs } from './postgres-binaries.ts'
import { copyDataDir } from './postgres-data.ts'
import { type Postgres, type PostgresOptions, startPostgres } from './postgres.ts'

/** Reads only, and follows until it is stopped. `auth`, `ssl` and passwords are to be those of the primary. */
export async function startStandby(
  primary: Postgres,
  options: Omit<PostgresOptions, 'dataDir'> = {},
): Promise<Started<Postgres>> {
  const root = mkdtempSync(join(realpathSync(tmpdir()), 'portcullis-standby-'))
  chmodSync(root, 0o755)
  const dataDir = join(root, 'data')
  const { host, port, user, password } = primary
  try {
    await backUp(primary, dataDir)
    const server = await startPostgres({
      ...options,
      dataDir,
      settings: {
        ...options.settings,
        primary_conninfo: `host=${host} port=${port} user=${user} password=${password}`,
      },
    })
    const stop = async () => {
      await server.stop()
      rmSync(root, { recursive: true, force: true, maxRetries: 5 })
    }
    return { value: server.value, stop }
  } catch (error) {
    rmSync(root, { recursive: true, force: true })
    throw error
  }
}

async function backUp(primary: Postgres, dataDir: string): Promise<void> {
  const { host, port, user, password, database, tls } = primary
  const ssl = tls ? { ca: tls.caPem, servername: 'localhost' } : false
  const client = new pg.Client({ host, port, user, password, database, ssl })
  await client.connect()
  try {
    await client.query(`select pg_backup_start('standby', true)`)
    const runAs = findRunAs()
    copyDataDir(primary.dataDir, dataDir, runAs)
    const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)')
    for (const [name, text] of [
      ['backup_label', rows[0]?.labelfile ?? ''],
      ['standby.signal', ''],
    ] as const) {
      const path = join(dataDir, name)
      writeFileSync(path, text, { mode: 0o600 })
      if (runAs) chownSync(path, runAs.uid, runAs.gid)
    }
  } finally {
    await client.end()
  }
}
