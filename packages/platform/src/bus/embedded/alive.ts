/**
 * Which process this is, and whether another one is surely dead. It never guesses: where it cannot see (another pid
 * namespace, another boot, no /proc) it says so, and the lease decides.
 */
import { readFileSync, readlinkSync } from 'node:fs'

export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks between boot and start: tells a process from a later one with the same pid. Empty where unknown. */
  readonly startedAt: string
  /** Processes with the same scope see each other's pids. Empty where unknown. */
  readonly scope: string
}

export function thisProcess(): ProcessIdentity {
  return { pid: process.pid, startedAt: startTime(process.pid) ?? '', scope: pidScope() }
}

/** `mine` is this process's own identity. */
export function fate(other: ProcessIdentity, mine: ProcessIdentity): 'alive' | 'dead' | 'unknown' {
  if (other.scope === '' || other.scope !== mine.scope) return 'unknown'
  try {
    process.kill(other.pid, 0)
  } catch (error) {
    // EPERM: somebody else's process has that pid; whether it took it over cannot be seen.
    return error instanceof Error && 'code' in error && error.code === 'ESRCH' ? 'dead' : 'unknown'
  }
  return startTime(other.pid) === other.startedAt ? 'alive' : 'dead'
}

/** proc(5), /proc/pid/stat, field 22; undefined for a process that is gone or a zombie. */
function startTime(pid: number): string | undefined {
  const stat = readQuietly(`/proc/${pid}/stat`)
  // The command's name (field 2) may hold spaces and parentheses; the last parenthesis ends it.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields === undefined || fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

function pidScope(): string {
  const boot = readQuietly('/proc/sys/kernel/random/boot_id')?.trim()
  if (!boot) return ''
  try {
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    // A hardened /proc: unknown scope, so leases alone decide.
    return ''
  }
}

function readQuietly(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Absent: the process is gone, or this system has no /proc. Both are answers.
    return undefined
  }
}
