/** Child processes of the supervisor: spoken to over IPC, stopped in an orderly way, and where asked for kept running. */
import { type ChildProcess, fork, type SendHandle } from 'node:child_process'
import type { Log } from '@portcullis/platform/service'
import type { BoundSocket } from './accept-queues.ts'
import type { ToAgent, ToSupervisor, ToWorker } from './ipc.ts'

export interface ChildOptions {
  readonly name: 'worker' | 'agent'
  readonly file: string
  readonly log: Log
  readonly env: Readonly<Record<string, string>>
  /** Options of the runtime. */
  readonly execArgv?: readonly string[]
  /** Said first. */
  readonly first: ToWorker | ToAgent
  onMessage(message: ToSupervisor): void
}

export interface Child {
  readonly pid: number | undefined
  /** To a process that is gone: nothing. */
  send(message: ToWorker | ToAgent, socket?: BoundSocket): void
  /** How it ended, in words. */
  readonly gone: Promise<string>
  /** Asks it to end, kills it where it has not by then, and resolves when it is gone. */
  stop(msMax: number): Promise<void>
}

export function startChild({ name, file, log, env, execArgv = [], first, onMessage }: ChildOptions): Child {
  const child: ChildProcess = fork(file, {
    serialization: 'advanced',
    stdio: 'inherit',
    execArgv: [...execArgv],
    env: { ...process.env, ...env },
  })
  const gone = new Promise<string>((resolve) => {
    // What it said last may be read after its exit.
    const silent = new Promise<void>((heard) => child.once('disconnect', () => heard()))
    child.once('exit', (code, signal) => void silent.then(() => resolve(signal ?? `exit code ${code}`)))
    child.on('error', (error) => {
      // One that dies while it is being spoken to; its exit follows, but for one that never lived.
      log.warn({ name, pid: child.pid, err: error }, 'child process')
      if (child.pid === undefined) resolve(error.message)
    })
  })
  child.on('message', (message) => onMessage(message as ToSupervisor))
  const send: Child['send'] = (message, socket) => {
    if (child.connected) child.send(message, socket as unknown as SendHandle)
  }
  send(first)
  return {
    pid: child.pid,
    send,
    gone,
    async stop(msMax) {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), msMax)
      await gone.finally(() => clearTimeout(late))
    },
  }
}

/** At once, and ever later while a process keeps dying young. */
export function createBackOff(): { nextMs(livedMs: number): number } {
  let delayMs = 0
  return {
    nextMs(livedMs) {
      delayMs = livedMs > settledAfterMs ? 0 : Math.min(Math.max(delayMs * 2, restartMsMin), restartMsMax)
      return delayMs
    },
  }
}

export interface Kept {
  readonly current: () => Child
  /** Ends the process and starts it anew. */
  renew(): Promise<void>
  stop(): Promise<void>
}

/** A process that is started anew whenever it ends. */
export function keepRunning(start: () => Child, { log, stopMsMax }: { log: Log; stopMsMax: number }): Kept {
  const backOff = createBackOff()
  let stopping = false
  let renewing = false
  let alive = false
  let timer: NodeJS.Timeout | undefined
  let child: Child
  run()

  return {
    current: () => child,
    async renew() {
      // One that has died is about to be started anew.
      if (!alive || stopping) return
      renewing = true
      await child.stop(stopMsMax)
    },
    async stop() {
      stopping = true
      clearTimeout(timer)
      await child.stop(stopMsMax)
    },
  }

  function run(): void {
    const startedMs = performance.now()
    child = start()
    alive = true
    void child.gone.then((how) => {
      alive = false
      if (stopping) return
      const delayMs = renewing ? 0 : backOff.nextMs(performance.now() - startedMs)
      if (!renewing) log.error({ pid: child.pid, how, delayMs }, 'the agent ended; starting it anew')
      renewing = false
      timer = setTimeout(run, delayMs)
    })
  }
}

const restartMsMin = 100
const restartMsMax = 5000
const settledAfterMs = 10_000
