/** Other programs: found on the PATH, run with this terminal. */
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { constants as osConstants } from 'node:os'
import { delimiter, join } from 'node:path'
import { CliError } from './errors.ts'

/** Its path. @throws CliError no_program */
export function findProgram(name: string, env: NodeJS.ProcessEnv, hint: string): string {
  const endings = process.platform === 'win32' ? ['.exe', '.cmd'] : ['']
  for (const dir of (env.PATH ?? '').split(delimiter).filter(Boolean))
    for (const ending of endings) {
      const path = join(dir, name + ending)
      try {
        accessSync(path, constants.X_OK)
        return path
      } catch {
        // Not here.
      }
    }
  throw new CliError('no_program', `${name} is not on this machine's PATH`, hint)
}

/** Runs it in this one's place: its terminal, its signals, its exit code. */
export function runInPlace(path: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, { stdio: 'inherit', env })
    const pass = (signal: NodeJS.Signals) => child.kill(signal)
    // A terminal sends Ctrl-C to it as well, and only it knows what that means: in psql, to cancel a query.
    const ignore = () => undefined
    process.on('SIGINT', ignore)
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, pass)
    const done = () => {
      process.off('SIGINT', ignore)
      for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.off(signal, pass)
    }
    child.on('error', (cause) => {
      done()
      const hint = 'try it by itself'
      reject(new CliError('no_program', `${path} could not be run: ${cause.message}`, hint, { cause }))
    })
    child.on('close', (code, signal) => {
      done()
      resolve(code ?? 128 + (signal ? osConstants.signals[signal] : 1))
    })
  })
}
