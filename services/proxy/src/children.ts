/** Child processes of the supervisor: kept running, spoken to over IPC, stopped in an orderly way. */
import { type ChildProcess, fork } from 'node:child_process'
import type { Log } from '@portcullis/platform/service'
import type { ToSupervisor, ToWorker } from './ipc.ts'

const restartMsMin = 100
const restartMsMax = 5000

export interface ChildOptions {
  readonly log: Log
  /** A child that has not stopped by then is killed. */
  readonly stopMsMax: number
  readonly env: Readonly<Record<string, string>>
  /** Said to each new process first. */
  readonly first?: ToWorker
  /** Options of the runtime. */
  readonly execArgv?: readonly string[]
}

export interface Child {
  send(message: ToWorker): void
  onMessage(listener: (message: ToSupervisor) => void): void
  onExit(listener: () => void): void
  stop(): Promise<void>
}

/** A child process that is started anew when it dies, ever more slowly while it keeps dying. */
export function keepRunning(
  name: string,
  file: string,
  args: readonly string[],
  { log, stopMsMax, env, first, execArgv = [] }: ChildOptions,
): Child {
  const messageListeners: ((message: ToSupervisor) => void)[] = []
  const exitListeners: (() => void)[] = []
  let stopping = false
  let delayMs = restartMsMin
  let child: ChildProcess
  let timer: NodeJS.Timeout | undefined

  const start = () => {
    const startedAt = performance.now()
    child = fork(file, args, {
      serialization: 'advanced',
      stdio: 'inherit',
      execArgv: [...execArgv],
      env: { ...process.env, ...env },
    })
    if (first) child.send(first)
    child.on('message', (message) => {
      for (const listener of messageListeners) listener(message as ToSupervisor)
    })
    child.once('exit', (code, signal) => {
      for (const listener of exitListeners) listener()
      if (stopping) return
      delayMs = performance.now() - startedAt > 10_000 ? restartMsMin : Math.min(delayMs * 2, restartMsMax)
      log.error({ name, code, signal, delayMs }, 'child process ended; starting it anew')
      timer = setTimeout(start, delayMs)
    })
  }
  start()

  return {
    send(message) {
      if (child.connected) child.send(message)
    },
    onMessage: (listener) => void messageListeners.push(listener),
    onExit: (listener) => void exitListeners.push(listener),
    stop() {
      stopping = true
      clearTimeout(timer)
      if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
      const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
      return gone.finally(() => clearTimeout(late))
    },
  }
}
