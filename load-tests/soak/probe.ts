/**
 * Looks into a running Node process from outside: its heap after a forced collection, its event listeners, what keeps its
 * loop alive, its descriptors. By the inspector, which SIGUSR1 opens; the process needs no code of its own for this.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Sample {
  readonly heapBytes: number
  /** Memory that is no file's, the heap included: what the kernel would have to swap. */
  readonly anonymousBytes: number
  readonly descriptors: number
  /** On all EventEmitters that live. */
  readonly listeners: number
  /** Sockets, timers, requests under way. */
  readonly handles: number
}

/** Environment of a process that is to be looked into: several must not want one port. */
export const inspectable = { NODE_OPTIONS: '--inspect-port=127.0.0.1:0' }

/** Opens the inspector of a process. `log` is what the process has written so far, where Node says the address. */
export async function openInspector(pid: number, log: () => string): Promise<string> {
  const before = addresses(log()).length
  process.kill(pid, 'SIGUSR1')
  for (let tries = 0; tries < 200; tries++) {
    const url = addresses(log())[before]
    if (url) return url
    await sleep(50)
  }
  throw new Error(`process ${pid} opened no inspector`)
}

/** Collects garbage there first. */
export async function probe(pid: number, inspectorUrl: string): Promise<Sample> {
  const inspector = await connect(inspectorUrl)
  try {
    for (let round = 0; round < 2; round++) await inspector.call('HeapProfiler.collectGarbage', {})
    const seen = await inspector.evaluate<{ heapBytes: number; handles: number }>(
      '({ heapBytes: process.memoryUsage().heapUsed, handles: process.getActiveResourcesInfo().length })',
    )
    // Before the listeners are counted, which itself takes memory that malloc does not give back.
    const anonymous = anonymousBytes(pid)
    return {
      ...seen,
      listeners: await countListeners(inspector),
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      anonymousBytes: anonymous,
    }
  } finally {
    inspector.close()
  }
}

function addresses(log: string): string[] {
  return [...log.matchAll(/Debugger listening on (ws:\S+)/g)].map(([, url]) => url ?? '')
}

function anonymousBytes(pid: number): number {
  return Number(/RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

async function countListeners(inspector: Inspector): Promise<number> {
  const prototype = await inspector.call<{ result: { objectId: string } }>('Runtime.evaluate', {
    expression: "process.getBuiltinModule('node:events').EventEmitter.prototype",
  })
  const all = await inspector.call<{ objects: { objectId: string } }>('Runtime.queryObjects', {
    prototypeObjectId: prototype.result.objectId,
  })
  const counted = await inspector.call<{ result: { value: number } }>('Runtime.callFunctionOn', {
    objectId: all.objects.objectId,
    returnByValue: true,
    // Prototypes are objects of the kind, too, but have no listeners of their own.
    functionDeclaration: `function () {
      let count = 0
      for (const emitter of this)
        for (const held of Object.values(emitter._events ?? {})) count += Array.isArray(held) ? held.length : 1
      return count
    }`,
  })
  return counted.result.value
}

interface Inspector {
  call<T>(method: string, params: object): Promise<T>
  evaluate<T>(expression: string): Promise<T>
  close(): void
}

/** The Chrome DevTools protocol over its WebSocket. */
async function connect(url: string): Promise<Inspector> {
  const socket = new WebSocket(url)
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>()
  let nextId = 1
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve()
    socket.onerror = () => reject(new Error(`no inspector at ${url}`))
  })
  socket.onmessage = ({ data }) => {
    const said = JSON.parse(String(data)) as { id?: number; result?: unknown; error?: { message: string } }
    const asked = said.id === undefined ? undefined : waiting.get(said.id)
    if (said.id === undefined || !asked) return
    waiting.delete(said.id)
    if (said.error) asked.reject(new Error(said.error.message))
    else asked.resolve(said.result)
  }
  socket.onclose = () => {
    for (const { reject } of waiting.values()) reject(new Error('the inspector has gone'))
  }
  const call = <T>(method: string, params: object) => {
    const id = nextId++
    return new Promise<T>((resolve, reject) => {
      waiting.set(id, { resolve: resolve as (result: unknown) => void, reject })
      socket.send(JSON.stringify({ id, method, params }))
    })
  }
  return {
    call,
    async evaluate<T>(expression: string) {
      const { result } = await call<{ result: { value: T } }>('Runtime.evaluate', {
        expression,
        returnByValue: true,
      })
      return result.value
    },
    close: () => socket.close(),
  }
}
