/**
 * A PostgreSQL data folder before its server runs: made once as a template, copied, given passwords, keys and access
 * rules. Refuses to write into a folder that holds anything else.
 */
import { randomBytes } from 'node:crypto'
import {
  accessSync,
  chmodSync,
  constants,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
} from 'node:fs'
import { lstatSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestCertificates } from './certificates.ts'
import { type PostgresBinaries, type RunAs, runProgram } from './postgres-binaries.ts'

export const loopback = '127.0.0.1'

export type PostgresAuth = 'scram-sha-256' | 'md5' | 'password' | 'trust' | 'cert'

export type Passwords = { superuser: string; app: string }

/** What the template's roles have until `setPasswords`; fit for tests only. */
export const testPasswords: Passwords = { superuser: 'superuser-of-a-test', app: 'app-of-a-test' }

/** Makes the cluster where there is none: a copy of a template, since initdb takes most of a second. */
export function prepareDataDir(
  dataDir: string,
  auth: PostgresAuth,
  binaries: PostgresBinaries,
  runAs: RunAs,
): void {
  if (existsSync(join(dataDir, 'PG_VERSION'))) return
  if (existsSync(dataDir) && readdirSync(dataDir).length > 0) {
    throw new Error(`${dataDir} is neither empty nor a PostgreSQL data folder`)
  }
  const template = makeTemplate(auth === 'md5' ? 'md5' : 'scram-sha-256', binaries, runAs)
  copyDataDir(template, dataDir, runAs)
}

/** Of a server that runs only between pg_backup_start and pg_backup_stop. */
export function copyDataDir(from: string, to: string, runAs: RunAs): void {
  const own = new Set(['postmaster.pid', 'postmaster.opts'].map((name) => join(from, name)))
  cpSync(from, to, { recursive: true, filter: (source) => !own.has(source) })
  chmodSync(to, 0o700)
  if (runAs) chownAll(to, runAs)
}

function makeTemplate(encryption: 'md5' | 'scram-sha-256', binaries: PostgresBinaries, runAs: RunAs): string {
  // Readable by its maker alone, as PostgreSQL wants it: one for each user of this clone.
  const name = `${binaries.label}-${encryption}-${process.getuid?.() ?? 0}`
  const cache = writableFolder(join(import.meta.dirname, '../../../node_modules/.cache/portcullis'))
  const template = join(cache, name)
  if (existsSync(template)) return template
  // Made where the server's user can write, then moved into place whole.
  const work = mkdtempSync(join(realpathSync(tmpdir()), 'portcullis-initdb-'))
  try {
    const draft = join(work, 'data')
    mkdirSync(draft, { mode: 0o700 })
    chmodSync(work, 0o755)
    if (runAs) chownSync(draft, runAs.uid, runAs.gid)
    const options = ['-D', draft, '-U', 'postgres', '-E', 'UTF8', '--no-locale', '-A', 'trust', '--no-sync']
    runProgram('initdb', options, { binaries, runAs })
    const setup = [
      `set password_encryption = '${encryption}'`,
      `alter role postgres password '${testPasswords.superuser}'`,
      `create role app login password '${testPasswords.app}'`,
      'grant create on schema public to app',
    ]
    runSingleUser(draft, setup, binaries, runAs)
    const placed = `${template}.${process.pid}-${randomBytes(4).toString('hex')}`
    cpSync(draft, placed, { recursive: true })
    try {
      renameSync(placed, template)
    } catch (error) {
      rmSync(placed, { recursive: true, force: true })
      if (!existsSync(template)) throw error
    }
    return template
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** `preferred`, or one of our own where this user may not write there (a clone that another user installed). */
function writableFolder(preferred: string): string {
  try {
    mkdirSync(preferred, { recursive: true })
    accessSync(preferred, constants.W_OK)
    return preferred
  } catch {
    const own = join(realpathSync(tmpdir()), `portcullis-cache-${process.getuid?.() ?? 0}`)
    mkdirSync(own, { recursive: true, mode: 0o700 })
    if (lstatSync(own).uid !== process.getuid?.()) throw new Error(`${own} belongs to someone else`)
    return own
  }
}

export function setPasswords(
  dataDir: string,
  passwords: Passwords,
  binaries: PostgresBinaries,
  runAs: RunAs,
): void {
  if (/['\n\\]/.test(passwords.superuser + passwords.app)) throw new Error('a password may not hold quotes')
  const alter = [
    `alter role postgres password '${passwords.superuser}'`,
    `alter role app password '${passwords.app}'`,
  ]
  runSingleUser(dataDir, alter, binaries, runAs)
}

/** Single-user mode needs no password and no port, and reads the statements (and so the secrets) from stdin. */
function runSingleUser(
  dataDir: string,
  statements: string[],
  binaries: PostgresBinaries,
  runAs: RunAs,
): void {
  const input = `${statements.join('\n')}\n`
  runProgram('postgres', ['--single', '-D', dataDir, 'postgres'], { binaries, runAs, input })
}

export function writeTls(dataDir: string, tls: TestCertificates, runAs: RunAs): void {
  const files = { 'server.crt': tls.server.certPem, 'server.key': tls.server.keyPem, 'root.crt': tls.caPem }
  for (const [name, text] of Object.entries(files)) {
    const path = join(dataDir, name)
    writeFileSync(path, text, { mode: 0o600 })
    if (runAs) chownSync(path, runAs.uid, runAs.gid)
  }
}

export function writeAccess(dataDir: string, auth: PostgresAuth, tlsOnly: boolean): void {
  const kind = tlsOnly || auth === 'cert' ? 'hostssl' : 'host'
  const lines = [`${kind} all all ${loopback}/32 ${auth}`, `${kind} replication all ${loopback}/32 ${auth}`]
  writeFileSync(join(dataDir, 'pg_hba.conf'), `${lines.join('\n')}\n`)
}

function chownAll(folder: string, runAs: { uid: number; gid: number }): void {
  chownSync(folder, runAs.uid, runAs.gid)
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    chownSync(join(entry.parentPath, entry.name), runAs.uid, runAs.gid)
  }
}
