/** Starts the demo's PostgreSQL, the system that the agents of the demo work on, behind a process of its own. */
import { fork } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Started } from '@portcullis/kernel'
import { isReachableByAll } from '@portcullis/testkit/postgres-binaries'
import type { DemoPostgresNews, DemoPostgresOrder } from './demo-postgres-main.ts'
import type { Ending, Running } from './keep-running.ts'
import type { SupervisorLog } from './supervisor-log.ts'

export type DemoPostgres = Running & { readonly port: number }

const startMsMax = 60_000
const stopMsMax = 15_000

/** New passwords, which the caller keeps for as long as the gate shall sign in with them. */
export function newDemoPasswords(): DemoPostgresOrder['passwords'] {
  const password = () => randomBytes(24).toString('base64url')
  return { superuser: password(), agent: password(), report: password() }
}

/**
 * Where the database lies: in the data folder, except where root's data folder cannot be entered by the user that
 * PostgreSQL must run as; then under /var/lib, one for each data folder.
 */
export function demoPostgresDir(dataFolder: string): string {
  if (process.getuid?.() !== 0 || isReachableByAll(dataFolder)) return join(dataFolder, 'postgres')
  const name = createHash('sha256').update(dataFolder).digest('hex').slice(0, 12)
  return join('/var/lib/portcullis-demo', name, 'postgres')
}

export async function startDemoPostgres(
  order: DemoPostgresOrder,
  log: SupervisorLog,
  signal: AbortSignal,
): Promise<Started<DemoPostgres>> {
  mkdirSync(dirname(order.dataDir), { recursive: true, mode: 0o711 })
  const child = fork(join(import.meta.dirname, 'demo-postgres-main.ts'), [], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: [],
    // PostgreSQL would take a terminal's Ctrl-C for its own and go before the gate has drained.
    detached: true,
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => log.line('demo-postgres', text.trimEnd()))
  }
  const exited = new Promise<Ending>((resolve) => {
    child.once('exit', (code, how) => resolve({ code, signal: how }))
  })
  const stop = async () => {
    if (child.connected) child.disconnect()
    const late = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
    await exited
    clearTimeout(late)
  }
  try {
    child.send(order)
    const timeout = AbortSignal.any([signal, AbortSignal.timeout(startMsMax)])
    const [news] = (await Promise.race([
      once(child, 'message', { signal: timeout }),
      exited.then(({ code }) => [{ failed: `it ended with exit code ${code}` }]),
    ])) as [DemoPostgresNews]
    if ('failed' in news) throw new Error(news.failed)
    return { value: { pid: child.pid ?? 0, port: news.port, exited }, stop }
  } catch (cause) {
    await stop()
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`the demo's PostgreSQL did not start: ${why}`, { cause })
  }
}
