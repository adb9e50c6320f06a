// The road to the thread that analyses long texts, so that they stall no session on this one. The thread is started by
// the first of them. Refuses to lose a text: when the thread dies, what it held comes back as unknown.
import { Worker } from 'node:worker_threads'
import { unread } from './analyzer.ts'
import type { Reading, StatementAnalysis } from './types.ts'

export interface WorkerRequest {
  readonly id: number
  readonly sql: Uint8Array
  readonly reading: Reading
}

export interface WorkerAnswer {
  readonly id: number
  readonly analyses: readonly StatementAnalysis[]
}

interface Waiting {
  readonly sql: Uint8Array
  readonly done: (analyses: readonly StatementAnalysis[]) => void
}

export class WorkerRoad {
  readonly #parseBytesMax: number
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #lastId = 0
  #closed = false

  constructor(parseBytesMax: number) {
    this.#parseBytesMax = parseBytesMax
  }

  analyze(sql: Uint8Array, reading: Reading): Promise<readonly StatementAnalysis[]> {
    return new Promise((done) => {
      if (this.#closed) return done([unread(sql)])
      this.#lastId += 1
      this.#waiting.set(this.#lastId, { sql, done })
      const request: WorkerRequest = { id: this.#lastId, sql, reading }
      const worker = this.#start()
      worker.ref()
      worker.postMessage(request)
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
    this.#giveUp()
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: { parseBytesMax: this.#parseBytesMax },
      resourceLimits: { maxOldGenerationSizeMb: 512, stackSizeMb: 4 },
    })
    worker.on('message', ({ id, analyses }: WorkerAnswer) => {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (this.#waiting.size === 0) worker.unref()
      waiting?.done(Object.freeze(analyses.map((analysis) => Object.freeze(analysis))))
    })
    const gone = (): void => {
      if (this.#worker !== worker) return
      this.#worker = undefined
      this.#giveUp()
    }
    worker.on('error', gone)
    worker.on('exit', gone)
    this.#worker = worker
    return worker
  }

  #giveUp(): void {
    for (const { sql, done } of this.#waiting.values()) done(Object.freeze([unread(sql)]))
    this.#waiting.clear()
  }
}
