/**
 * The embedded ClickHouse engine as a process of its own: owns one data directory, serves it on loopback, and ends with
 * its parent. Its parent sends what it needs over the IPC channel, so that the secret stands in no argument list and
 * no environment that others could read.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type OpenFailure, openFailure } from './open-failure.ts'
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
  | ({ readonly kind: 'failed' } & OpenFailure)

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
      onBroken: (cause) => {
        console.error(`the engine is broken, ending the process: ${String(cause)}`)
        process.exit(1)
      },
    })
  } catch (cause) {
    return fail({ kind: 'failed', ...openFailure(dataDir, cause) })
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
  process.once('SIGTERM', stop)
  if (!process.connected) return stop()
  report({ kind: 'ready', port: front.value.port })
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
