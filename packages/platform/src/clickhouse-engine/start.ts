/**
 * Starts the embedded engine as a child process and says where it listens. It does not start it again when it dies:
 * `exited` tells, and whoever supervises decides (handing `port` and `password` back in, so that clients find it again).
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Started } from '@portcullis/kernel'
import { AuditError } from '../audit/errors.ts'
import type { AuditLog } from '../audit/log.ts'
import type { EngineOrder, EngineReport } from './main.ts'

export interface EngineOptions {
  /** Everything of the engine lies under it. Made if missing. */
  readonly dir: string
  readonly log: AuditLog
  /** Any free one where absent. */
  readonly port?: number
  /** A new one where absent. */
  readonly password?: string
  /** How long it may take to come up; default 60 s, since it loads all tables first. */
  readonly startTimeoutMs?: number
}

export interface Engine {
  readonly url: string
  readonly username: string
  readonly password: string
  readonly port: number
  readonly pid: number
  /** Resolves once, when the process is gone, however it went. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

const stopTimeoutMs = 20_000

/** Throws AuditError('engine_unsupported' | 'engine_locked' | 'engine_failed'). */
export async function startEngine(options: EngineOptions): Promise<Started<Engine>> {
  const { log } = options
  const password = options.password ?? randomBytes(32).toString('base64url')
  const child = fork(join(import.meta.dirname, 'main.ts'), [], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: engineEnv(),
    // Not the parent's own flags (--eval, --inspect-brk, a test runner's).
    execArgv: [],
    // A terminal's Ctrl-C is for whoever supervises, who stops the engine last.
    detached: true,
  })
  const lastWords = collectOutput(child, log)
  // A message to a child that has just died is an 'error' event too, which nobody may be waiting for any more.
  child.on('error', (err) => log.warn({ err, pid: child.pid }, 'engine process'))
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((settle) => {
    child.once('exit', (code, signal) => settle({ code, signal }))
  })
  const order: EngineOrder = {
    dir: resolve(options.dir),
    port: options.port ?? 0,
    username: 'default',
    password,
  }
  try {
    const port = await ready(child, order, exited, lastWords, options.startTimeoutMs ?? 60_000)
    log.info({ pid: child.pid, port, dir: order.dir }, 'embedded ClickHouse engine is up')
    return {
      value: {
        url: `http://127.0.0.1:${port}`,
        username: order.username,
        password,
        port,
        pid: child.pid ?? 0,
        exited,
      },
      stop: () => stop(child, exited, log),
    }
  } catch (cause) {
    child.kill('SIGKILL')
    throw cause
  }
}

/** Only what a native program needs: whatever else stands in the parent's environment may be a secret. */
function engineEnv(): NodeJS.ProcessEnv {
  const passed = [
    'PATH',
    'HOME',
    'TMPDIR',
    'LD_LIBRARY_PATH',
    'DYLD_LIBRARY_PATH',
    'CHDB_LIBCHDB_PATH',
  ] as const
  const env: NodeJS.ProcessEnv = {
    TZ: 'UTC',
    // Queries run on these threads: with the default of four, long ones would keep even KILL QUERY waiting.
    UV_THREADPOOL_SIZE: String(Math.max(16, availableParallelism())),
  }
  for (const name of passed) if (process.env[name] !== undefined) env[name] = process.env[name]
  return env
}

async function ready(
  child: ChildProcess,
  order: EngineOrder,
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>,
  lastWords: () => string,
  timeoutMs: number,
): Promise<number> {
  const failed = (message: string) => new AuditError('engine_failed', `${message}${lastWords()}`)
  const report = await new Promise<EngineReport>((settle, reject) => {
    const timer = setTimeout(
      () => reject(failed(`The engine on ${order.dir} did not come up within ${timeoutMs} ms.`)),
      timeoutMs,
    )
    const done = () => clearTimeout(timer)
    child.once('message', (message) => {
      done()
      settle(message as EngineReport)
    })
    child.once('error', (cause) => {
      done()
      reject(new AuditError('engine_failed', `The engine cannot be started: ${cause.message}`, { cause }))
    })
    exited.then(({ code, signal }) => {
      done()
      reject(failed(`The engine on ${order.dir} ended at once (${signal ?? `exit ${code}`}).`))
    }, reject)
    child.send(order)
  })
  if (report.kind === 'failed') throw new AuditError(report.code, report.message)
  return report.port
}

/** Its output goes to the log line by line; the last lines also into the error where it does not come up. */
function collectOutput(child: ChildProcess, log: AuditLog): () => string {
  const last: string[] = []
  for (const output of [child.stdout, child.stderr]) {
    if (!output) continue
    createInterface({ input: output }).on('line', (line) => {
      last.push(line)
      if (last.length > 5) last.shift()
      log.warn({ pid: child.pid, line }, 'engine')
    })
  }
  return () => (last.length > 0 ? ` Its last words: ${last.join(' / ')}` : '')
}

async function stop(child: ChildProcess, exited: Promise<unknown>, log: AuditLog): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  if (child.connected) child.disconnect()
  const timer = setTimeout(() => {
    log.warn({ pid: child.pid, stopTimeoutMs }, 'engine did not drain in time, killing it')
    child.kill('SIGKILL')
  }, stopTimeoutMs)
  await exited
  clearTimeout(timer)
}
