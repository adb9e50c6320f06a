/** Runs the command line as a person does, by its bin, with an environment of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'

export interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Running {
  readonly child: ChildProcess
  readonly done: Promise<Ran>
  /** Once stdout and stderr together have it; rejects where it ends before. */
  said(pattern: RegExp): Promise<RegExpExecArray>
}

const bin = join(import.meta.dirname, '../../bin/portcullis.mjs')

/** `env` beside PATH alone: nothing of this machine's. */
export function startCli(args: readonly string[], env: Readonly<Record<string, string>>): Running {
  const child = spawn(process.execPath, [bin, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, as a terminal gives it, so that Ctrl-C can be sent to all of it.
    detached: true,
  })
  let [out, err] = ['', '']
  const watchers = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
    for (const watcher of watchers) watcher()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
    for (const watcher of watchers) watcher()
  })
  const done = new Promise<Ran>((resolve) => child.once('close', (code) => resolve({ code, out, err })))
  return {
    child,
    done,
    said: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const match = pattern.exec(`${out}\n${err}`)
          if (!match) return
          watchers.delete(look)
          resolve(match)
        }
        watchers.add(look)
        look()
        void done.then(() => reject(new Error(`it ended and never said ${pattern}: ${out}${err}`)))
      }),
  }
}

export function runCli(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ran> {
  return startCli(args, env).done
}
