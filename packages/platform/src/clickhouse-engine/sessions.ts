/**
 * The only place that touches chdb. Each request gets an engine session of its own, thrown away afterwards: opening one
 * takes half a millisecond, and it is what keeps one request's settings, parameters and, after a failure, its partial
 * rows (chdb hands those to the session's next query) out of every other request's answer. Never shares a session and
 * never runs two queries on one.
 */
import { createRequire } from 'node:module'
import type * as Chdb from 'chdb'
import { HttpProblem } from './problem.ts'

export interface EngineSession {
  /** Runs to its end and holds the whole result. */
  run(sql: string, format: string): Promise<Chdb.ChdbResult>
  /** Newline formats only. Leaving the iteration early cancels. */
  stream(sql: string, format: string): AsyncIterable<Chdb.StreamChunk>
  readonly marker: string
}

export interface Sessions {
  /** Waits for a free place, opens a session, and closes it when `use` is done. `signal` kills what runs. */
  with<T>(signal: AbortSignal, use: (session: EngineSession) => Promise<T>): Promise<T>
  readonly running: number
  readonly waiting: number
  /** Waits for what runs, then lets the directory go. */
  close(): Promise<void>
}

export interface SessionsOptions {
  readonly dir: string
  /** Queries that run at once; the others wait in order. */
  readonly concurrent: number
  readonly waitingMax: number
  readonly newId: () => string
  readonly onKillFailed: (cause: unknown) => void
  /** The engine will answer nothing any more: the process must end, so that another can take over. */
  readonly onBroken: (cause: unknown) => void
}

const killAgainMs = 250

/** Throws what chdb throws where the directory cannot be opened. */
export function openSessions(options: SessionsOptions): Sessions {
  const { dir, concurrent, waitingMax, newId, onKillFailed, onBroken } = options
  // chdb is a native add-on of 500 MB that is absent on some platforms: it is loaded here, by whoever asked for it.
  const chdb = createRequire(import.meta.url)('chdb') as typeof Chdb
  // Holds the directory's lock and the engine itself while sessions come and go; also kills queries of the others.
  const admin = new chdb.Session(dir)
  const queue: (() => void)[] = []
  let running = 0
  let adminWork: Promise<unknown> = Promise.resolve()

  async function enter(signal: AbortSignal): Promise<void> {
    if (running < concurrent) {
      running++
      return
    }
    if (queue.length >= waitingMax)
      throw new HttpProblem(
        503,
        202,
        'TOO_MANY_SIMULTANEOUS_QUERIES',
        `${running} queries run and ${queue.length} wait`,
      )
    await new Promise<void>((resolve, reject) => {
      const turn = () => {
        signal.removeEventListener('abort', gone)
        resolve()
      }
      const gone = () => {
        queue.splice(queue.indexOf(turn), 1)
        reject(new HttpProblem(499, 394, 'QUERY_WAS_CANCELLED', 'The client went away'))
      }
      signal.addEventListener('abort', gone, { once: true })
      queue.push(turn)
    })
  }

  /** The place goes straight to whoever waits longest. */
  function leave(): void {
    const next = queue.shift()
    if (next) next()
    else running--
  }

  function open(): Chdb.Session {
    try {
      return new chdb.Session(dir)
    } catch (cause) {
      // `admin` holds the directory open, so nothing but a broken engine refuses another session on it.
      onBroken(cause)
      throw cause
    }
  }

  function kill(marker: string): void {
    const sql = `KILL QUERY WHERE startsWith(query, '${marker}') ASYNC`
    adminWork = adminWork
      .then(() => admin.queryAsync(sql, { format: 'Null' }))
      .catch((cause: unknown) => onKillFailed(cause))
  }

  return {
    get running() {
      return running
    },
    get waiting() {
      return queue.length
    },
    async with(signal, use) {
      await enter(signal)
      const marker = `/*${newId()}*/`
      let session: Chdb.Session | undefined
      let again: NodeJS.Timeout | undefined
      // Once is not enough: the query may not have reached the engine yet when its client goes.
      const onAbort = () => {
        kill(marker)
        again = setInterval(kill, killAgainMs, marker)
      }
      try {
        if (signal.aborted) throw new HttpProblem(499, 394, 'QUERY_WAS_CANCELLED', 'The client went away')
        const own = open()
        session = own
        signal.addEventListener('abort', onAbort, { once: true })
        return await use({
          marker,
          run: (sql, format) => own.queryAsync(`${marker} ${sql}`, { format }),
          stream: (sql, format) => own.queryStream(`${marker} ${sql}`, { format }),
        })
      } catch (cause) {
        if (cause instanceof Error && /shutting down due to a fatal error/.test(cause.message))
          onBroken(cause)
        throw cause
      } finally {
        signal.removeEventListener('abort', onAbort)
        clearInterval(again)
        session?.close()
        leave()
      }
    },
    async close() {
      await adminWork
      await chdb.drainPending()
      admin.close()
    },
  }
}
