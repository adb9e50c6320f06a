// The road to the thread that analyses long texts, so that they stall no session on this one. One text at a time, each
// with a deadline: a text can be built on which PostgreSQL's own scanner is quadratic, and only ending the thread ends
// that. The thread goes behind the sessions on a busy machine, so that the deadline is one of its own CPU time where the
// system tells that. Refuses to lose a text: what the thread could not finish comes back as undefined, the others wait
// for a new one.
import { Worker } from 'node:worker_threads'
import { cpuMsOf } from './own-thread.ts'
import type { Reading, StatementAnalysis } from './types.ts'

export interface WorkerRequest {
  /** Of memory that both threads see: nothing is copied on the way. */
  readonly sql: Uint8Array
  readonly reading: Reading
}

/** `cpuMs`: what the thread has had by then; undefined where that cannot be told. */
export type WorkerAnswer =
  | { readonly thread: number | undefined; readonly cpuMs: number | undefined }
  | { readonly analyses: readonly StatementAnalysis[]; readonly cpuMs: number | undefined }

interface Waiting extends WorkerRequest {
  readonly done: (analyses: readonly StatementAnalysis[] | undefined) => void
}

export interface WorkerRoadOptions {
  readonly parseBytesMax: number
  readonly deadlineMs: number
}

interface Thread {
  readonly worker: Worker
  ready: boolean
  /** The system's number of it. */
  number: number | undefined
  /** What it had had when it last answered. */
  cpuMs: number | undefined
}

/** Far more than a thread needs, also on a busy machine; without it a thread that hangs would hang its texts. */
const startDeadlineMs = 15_000
/** How many times the deadline may pass on the clock while the thread waits for a core. */
const clockDeadlines = 5

export class WorkerRoad {
  /** Texts that met the deadline or a thread's death. */
  givenUp = 0
  readonly #options: WorkerRoadOptions
  readonly #queue: Waiting[] = []
  #running: Waiting | undefined
  #deadline: NodeJS.Timeout | undefined
  #thread: Thread | undefined
  #warm: (() => void)[] = []
  #closed = false

  constructor(options: WorkerRoadOptions) {
    this.#options = options
  }

  /** undefined: given up. */
  analyze(sql: Uint8Array, reading: Reading): Promise<readonly StatementAnalysis[] | undefined> {
    return new Promise((done) => {
      if (this.#closed) {
        done(undefined)
        return
      }
      // The short before the long: nobody waits behind all the long texts that others send.
      const behind = this.#queue.findIndex((waiting) => waiting.sql.length > sql.length)
      this.#queue.splice(behind === -1 ? this.#queue.length : behind, 0, { sql, reading, done })
      this.#next()
    })
  }

  /** Starts the thread ahead of the first long text. Resolves when it can answer, or could not be started. */
  warm(): Promise<void> {
    return new Promise((done) => {
      if (this.#closed || this.#thread?.ready === true) {
        done()
        return
      }
      this.#warm.push(done)
      this.#ensure()?.worker.ref()
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    const thread = this.#thread
    this.#lost()
    for (const waiting of this.#queue.splice(0)) waiting.done(undefined)
    await thread?.worker.terminate()
  }

  #next(): void {
    if (this.#closed || this.#running !== undefined || this.#queue.length === 0) return
    const thread = this.#ensure()
    thread?.worker.ref()
    if (thread?.ready !== true) return
    const waiting = this.#queue.shift()
    if (waiting === undefined) return
    this.#running = waiting
    const request: WorkerRequest = { sql: waiting.sql, reading: waiting.reading }
    thread.worker.postMessage(request)
    this.#limit(thread, performance.now(), this.#options.deadlineMs)
  }

  #limit(thread: Thread, sinceMs: number, waitMs: number): void {
    const { deadlineMs } = this.#options
    this.#deadline = setTimeout(() => {
      const cpuMs = cpuMsOf(thread.number)
      const hadMs = cpuMs === undefined || thread.cpuMs === undefined ? Infinity : cpuMs - thread.cpuMs
      if (hadMs >= deadlineMs || performance.now() - sinceMs >= clockDeadlines * deadlineMs) this.#lost()
      else this.#limit(thread, sinceMs, Math.max(deadlineMs - hadMs, deadlineMs / 10))
    }, waitMs)
  }

  /** undefined where no thread can be had now: then nothing waits for one either. */
  #ensure(): Thread | undefined {
    try {
      this.#thread ??= this.#start()
    } catch {
      // Out of threads or memory. The next long text tries again.
      this.#lost()
    }
    return this.#thread
  }

  #start(): Thread {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: { parseBytesMax: this.#options.parseBytesMax },
      resourceLimits: { maxOldGenerationSizeMb: 512, stackSizeMb: 4 },
    })
    const thread: Thread = { worker, ready: false, number: undefined, cpuMs: undefined }
    this.#deadline = setTimeout(() => this.#lost(), startDeadlineMs)
    worker.on('message', (answer: WorkerAnswer) => {
      if (this.#thread !== thread) return
      clearTimeout(this.#deadline)
      thread.cpuMs = answer.cpuMs
      if ('analyses' in answer) {
        const waiting = this.#running
        this.#running = undefined
        for (const analysis of answer.analyses) Object.freeze(analysis)
        waiting?.done(Object.freeze(answer.analyses))
      } else {
        thread.ready = true
        thread.number = answer.thread
        for (const done of this.#warm.splice(0)) done()
      }
      if (this.#queue.length === 0) worker.unref()
      this.#next()
    })
    const gone = (): void => {
      if (this.#thread === thread) this.#lost()
    }
    worker.on('error', gone)
    worker.on('exit', gone)
    return thread
  }

  /** The thread is dead or must die: its text is given up; a new thread serves the others. */
  #lost(): void {
    const { worker, ready } = this.#thread ?? {}
    const waiting = this.#running
    this.#thread = undefined
    this.#running = undefined
    clearTimeout(this.#deadline)
    void worker?.terminate()
    for (const done of this.#warm.splice(0)) done()
    // A thread that never came up would not come up for the next text either.
    const given = waiting === undefined ? (ready === true ? [] : this.#queue.splice(0)) : [waiting]
    for (const each of given) {
      this.givenUp += 1
      each.done(undefined)
    }
    this.#next()
  }
}
