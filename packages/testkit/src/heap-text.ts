/**
 * All strings that a Node process still reaches, after a collection, to be searched for what it must have let go. The
 * process must run with `heapEnvironment`. What lies in buffers is not in it.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FileText } from './all-files.ts'

export function heapEnvironment(dir: string): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${dir}` }
}

/** Throws Error where no whole snapshot comes within a minute. Removes it from the folder. */
export async function heapText(pid: number, dir: string): Promise<FileText> {
  process.kill(pid, 'SIGUSR2')
  for (let tries = 0; tries < 240; tries++) {
    await sleep(250)
    const name = readdirSync(dir).find((one) => one.endsWith('.heapsnapshot'))
    if (name === undefined) continue
    const file = join(dir, name)
    const text = readFileSync(file, 'utf8')
    // It is written piece by piece; the strings come last.
    if (!text.trimEnd().endsWith(']}')) continue
    rmSync(file)
    return { file: `heap of ${pid}`, text }
  }
  throw new Error(`process ${pid} wrote no heap snapshot`)
}
