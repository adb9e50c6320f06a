/**
 * Whether a process that left something on disk still lives. A process id alone comes again, so its start time (field
 * 22 of /proc/PID/stat, see proc(5)) and the boot it belongs to are compared too. Refuses to reach other hosts or
 * other process-id namespaces: a data directory belongs to one host, and in a container to one container at a time.
 */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'

export interface ProcessLife {
  readonly pid: number
  /** Clock ticks since boot; empty where the system has no /proc, and then the pid alone must do. */
  readonly startTicks: string
  /** Empty where the system has none. */
  readonly bootId: string
  readonly hostname: string
}

export function thisProcess(): ProcessLife {
  return {
    pid: process.pid,
    startTicks: readStat(process.pid)?.startTicks ?? '',
    bootId: readBootId(),
    hostname: hostname(),
  }
}

export function isAlive(life: ProcessLife): boolean {
  if (life.bootId !== readBootId()) return false
  if (life.startTicks === '') return answersSignal(life.pid)
  const now = readStat(life.pid)
  return now !== undefined && now.startTicks === life.startTicks && now.state !== 'Z' && now.state !== 'X'
}

function readStat(pid: number): { state: string; startTicks: string } | undefined {
  const text = readOptional(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  // The second field is the command in brackets and may hold anything, brackets and spaces too.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', startTicks: fields[19] ?? '' }
}

function readBootId(): string {
  return readOptional('/proc/sys/kernel/random/boot_id')?.trim() ?? ''
}

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function answersSignal(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
