/**
 * The embedded ClickHouse engine as a process of its own: owns one data directory, serves it on loopback, and ends with
 * its parent. Its parent sends what it needs over the IPC channel, so that the secret stands in no argument list and
 * no environment that others could read.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startFront } from './server.ts'
import { openSessions, type Sessions } from './sessions.ts'

/** Parent to engine, once. */
export interface EngineOrder {
  readonly dir: string
  readonly port: number
  readonly username: string
  readonly password: string
}

/** Engine to parent, once. */
export type EngineReport =
  | { readonly kind: 'ready'; readonly port: number }
  | {
      readonly kind: 'failed'
      readonly code: 'engine_unsupported' | 'engine_locked' | 'engine_failed'
      readonly message: string
    }

const concurrentMax = 6
const waitingMax = 1000

async function main(order: EngineOrder): Promise<void> {
  const dataDir = join(order.dir, 'data')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  let sessions: Sessions
  try {
    sessions = openSessions({
      dir: dataDir,
      concurrent: concurrentMax,
      waitingMax,
      newId: randomUUID,
      onKillFailed: (cause) => console.error(`kill of a query failed: ${String(cause)}`),
    })
  } catch (cause) {
    return fail(openFailure(dataDir, cause))
  }
  const { credentials, port } = { credentials: order, port: order.port }
  const front = await startFront({ sessions, bodiesDir: join(order.dir, 'bodies'), credentials, port })
  const stop = () => {
    front
      .stop()
      .then(() => sessions.close())
      .then(() => process.exit(0))
      .catch((cause: unknown) => {
        console.error(String(cause))
        process.exit(1)
      })
  }
  // The parent's end of the channel closes when it asks for the end, and also when it dies.
  process.once('disconnect', stop)
  if (!process.connected) return stop()
  report({ kind: 'ready', port: front.value.port })
}

function openFailure(dataDir: string, cause: unknown): Extract<EngineReport, { kind: 'failed' }> {
  const message = cause instanceof Error ? cause.message : String(cause)
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (
    code === 'MODULE_NOT_FOUND' ||
    code === 'ERR_DLOPEN_FAILED' ||
    /Cannot find module|libchdb|\.node\b/.test(message)
  )
    return {
      kind: 'failed',
      code: 'engine_unsupported',
      message: `The embedded ClickHouse engine (npm chdb) does not run on ${process.platform}-${process.arch} here: it needs Linux with glibc, or macOS. Set audit.url to a ClickHouse server instead. (${message.split('\n')[0]})`,
    }
  const holder = holderOf(dataDir)
  if (holder !== undefined)
    return {
      kind: 'failed',
      code: 'engine_locked',
      message: `${dataDir} is held by process ${holder}: one engine a directory. Stop that process, or give this one another directory.`,
    }
  return { kind: 'failed', code: 'engine_failed', message: `${dataDir} cannot be opened: ${message}` }
}

/**
 * The engine locks `status` in its directory (the kernel lets the lock go when the process dies, however it dies) and
 * writes its process id there. Undefined where that process is gone, so that something else is wrong.
 */
function holderOf(dataDir: string): number | undefined {
  try {
    const pid = Number(/^PID: (\d+)/m.exec(readFileSync(join(dataDir, 'status'), 'utf8'))?.[1])
    if (!Number.isSafeInteger(pid) || pid === process.pid) return undefined
    process.kill(pid, 0)
    return pid
  } catch (cause) {
    return cause instanceof Error && 'code' in cause && cause.code === 'EPERM' ? -1 : undefined
  }
}

function fail(failure: Extract<EngineReport, { kind: 'failed' }>): void {
  report(failure, () => process.exit(1))
}

function report(message: EngineReport, sent?: () => void): void {
  process.send?.(message, undefined, undefined, () => sent?.())
}

if (process.send) {
  // A terminal's Ctrl-C reaches the whole group: when to stop is for the parent to say, after it has drained.
  process.on('SIGINT', () => undefined)
  process.once('message', (order) => {
    main(order as EngineOrder).catch((cause: unknown) => {
      fail({
        kind: 'failed',
        code: 'engine_failed',
        message: cause instanceof Error ? cause.message : String(cause),
      })
    })
  })
} else {
  console.error('The engine is started by its parent (startEngine), which hands it its secret.')
  process.exitCode = 2
}
