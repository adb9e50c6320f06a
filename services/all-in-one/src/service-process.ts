/**
 * One service as a process of its own: `node main.ts --config FILE`, ready when its own /readyz says so: another
 * process on that port answers with another process id. It runs in a process group of its own, so that a terminal's
 * Ctrl-C reaches the supervisor alone and the order of stopping holds; it ends by itself when the IPC channel to its
 * parent closes.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { pidHeader } from '@portcullis/platform/service'
import type { Ending, Running } from './keep-running.ts'
import { type SupervisorLog, troubleIn } from './supervisor-log.ts'

export type ServiceSpec = {
  readonly name: string
  /** Absolute path of its main.ts. */
  readonly script: string
  readonly configFile: string
  /** Added to the supervisor's own environment; secrets go here, never into arguments. */
  readonly env: Readonly<Record<string, string>>
  /** HOST:PORT whose /readyz tells when it is ready. */
  readonly health: string
  readonly stopMsMax: number
}

/** An Error with this name: the service will not start however often it is tried. */
export class ServiceRefused extends Error {
  override name = 'ServiceRefused'
}

const startMsMax = 60_000

/** Rejects when it ends, or is not ready in time, with its last words. */
export async function startServiceProcess(
  spec: ServiceSpec,
  log: SupervisorLog,
  signal: AbortSignal,
): Promise<Started<Running>> {
  const child = spawn(process.execPath, [spec.script, '--config', spec.configFile], {
    env: { ...process.env, ...spec.env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
  })
  const lastWords: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue
    createInterface({ input: stream }).on('line', (line) => {
      log.line(spec.name, line)
      const trouble = troubleIn(line)
      if (trouble === undefined) return
      lastWords.push(trouble)
      if (lastWords.length > 8) lastWords.shift()
    })
  }
  const exited = new Promise<Ending>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    child.once('error', () => resolve({ code: 1, signal: null }))
  })
  const pid = child.pid ?? 0
  const killAll = () => killGroup(pid)
  process.once('exit', killAll)
  void exited.then(() => process.off('exit', killAll))
  const stop = async () => {
    child.kill('SIGTERM')
    const late = setTimeout(() => {
      log.error(
        { part: spec.name, stopMsMax: spec.stopMsMax },
        `${spec.name} did not stop in time and is killed`,
      )
      killAll()
    }, spec.stopMsMax)
    await exited
    clearTimeout(late)
    // Whatever it started and left is in its group.
    killAll()
  }
  try {
    await whenReady(spec, pid, exited, lastWords, signal)
  } catch (error) {
    killAll()
    throw error
  }
  return { value: { pid, exited }, stop }
}

async function whenReady(
  spec: ServiceSpec,
  pid: number,
  exited: Promise<Ending>,
  lastWords: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  let ending: Ending | undefined
  void exited.then((value) => {
    ending = value
  })
  const deadline = Date.now() + startMsMax
  let answer = 'no answer'
  while (!ending) {
    signal.throwIfAborted()
    const reply = await readyz(spec.health, pid)
    if (reply.ready) return
    answer = reply.text
    if (Date.now() > deadline) {
      throw new Error(`${spec.name} is not ready after ${startMsMax / 1000} s: ${answer}`)
    }
    await delay(50)
  }
  const how = ending.signal ?? `exit code ${ending.code}`
  const message = `${spec.name} ended with ${how} before it was ready:\n${lastWords.join('\n')}`
  throw ending.code === 2 ? new ServiceRefused(message) : new Error(message)
}

async function readyz(health: string, pid: number): Promise<{ ready: boolean; text: string }> {
  // A wildcard address is for others to reach it by.
  const address = health.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, '127.0.0.1')
  try {
    const response = await fetch(`http://${address}/readyz`, { signal: AbortSignal.timeout(2000) })
    const text = (await response.text()).trim()
    if (response.headers.get(pidHeader) !== String(pid))
      return { ready: false, text: `another process answers at ${address}` }
    return { ready: response.status === 200, text }
  } catch (error) {
    return { ready: false, text: error instanceof Error ? error.message : String(error) }
  }
}

function killGroup(pid: number): void {
  if (pid === 0) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
