/**
 * The one folder of an installation: made private, and held by one supervisor at a time. The hold outlives nothing: a
 * supervisor that was killed is known by its process id together with the time that process began.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'

export type HeldFolder = {
  /** Whether the holder before was killed: its children may need a moment to end. */
  readonly afterCrash: boolean
  release(): void
}

/**
 * Throws an Error that says who holds the folder, or why it cannot be used. `passable` lets other users pass through to
 * what is theirs inside (root's PostgreSQL runs as another user); everything of ours is closed by itself.
 */
export function holdFolder(folder: string, options: { passable: boolean } = { passable: false }): HeldFolder {
  try {
    makeFolder(folder)
    chmodSync(folder, options.passable ? 0o711 : 0o700)
  } catch (cause) {
    throw new Error(`${folder} cannot be used as data folder: ${messageOf(cause)}`, { cause })
  }
  const lock = join(folder, 'lock')
  const mine = `${lock}.${process.pid}`
  writeFileSync(mine, identityOf(process.pid), { mode: 0o600 })
  let afterCrash = false
  try {
    for (let attempt = 0; !link(mine, lock); attempt += 1) {
      const holder = readIfThere(lock)
      const pid = Number(holder.split(' ')[0])
      if (attempt === 3 || (holder !== '' && identityOf(pid) === holder)) {
        throw new Error(
          `${folder} is in use by process ${pid}: stop that one first, or choose another folder with --data DIR`,
        )
      }
      afterCrash = true
      removeStale(lock, holder)
    }
  } finally {
    rmSync(mine, { force: true })
  }
  return {
    afterCrash,
    release: () => {
      if (readIfThere(lock) === identityOf(process.pid)) rmSync(lock, { force: true })
    },
  }
}

/** Node's own `recursive` tries for ever where a parent that is there says that it is not, as /proc does. */
function makeFolder(folder: string): void {
  const missing: string[] = []
  for (let at = resolve(folder); !existsSync(at); at = dirname(at)) missing.unshift(at)
  for (const at of missing) {
    try {
      mkdirSync(at)
    } catch (error) {
      // Another start may be making the same.
      if (codeOf(error) !== 'EEXIST') throw error
    }
  }
}

/** `link` fails where the name is taken, and never shows a half-written file. */
function link(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/** Moved away first: of two that find the same stale lock one gets it, and neither removes the other's new one. */
function removeStale(lock: string, seen: string): void {
  const away = `${lock}.stale.${process.pid}`
  try {
    renameSync(lock, away)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  if (readIfThere(away) !== seen) link(away, lock)
  rmSync(away, { force: true })
}

/** Process id and when it began, since ids are used again. Only the id where no such process runs. */
function identityOf(pid: number): string {
  if (!Number.isSafeInteger(pid) || pid <= 0) return ''
  const stat = readIfThere(`/proc/${pid}/stat`)
  if (stat !== '') return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`
  if (process.platform === 'linux') return String(pid)
  try {
    return `${pid} ${execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()}`
  } catch {
    return String(pid)
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(codeOf(error))) return ''
    throw error
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
