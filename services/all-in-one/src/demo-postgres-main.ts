/**
 * The process around the demo's PostgreSQL. It takes its orders over IPC alone, so that no password stands in an
 * argument, environment or file, and it stops the server when its parent is gone: PostgreSQL itself would stay.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { shopDatabase, shopRoles, shopSchema, shopSetup } from './demo-shop.ts'

/** Parent to child, once. */
export type DemoPostgresOrder = {
  readonly dataDir: string
  readonly port: number
  readonly passwords: { readonly superuser: string; readonly agent: string; readonly report: string }
}

/** Child to parent, once. */
export type DemoPostgresNews = { readonly port: number } | { readonly failed: string }

if (process.send) main()

function main(): void {
  let stop: (() => Promise<void>) | undefined
  const leave = async (code: number) => {
    await stop?.()
    process.exit(code)
  }
  const tell = (news: DemoPostgresNews) => {
    if (process.connected) process.send?.(news)
  }
  process.on('SIGINT', () => undefined)
  process.on('SIGTERM', () => void leave(0))
  process.on('disconnect', () => void leave(0))
  process.once('message', async (order: DemoPostgresOrder) => {
    try {
      await endLeftover(order.dataDir)
      const { superuser, agent, report } = order.passwords
      const started = await startPostgres({
        dataDir: order.dataDir,
        port: order.port,
        fsync: true,
        passwords: { superuser, app: superuser },
        settings: { autovacuum: true, log_min_messages: 'warning' },
      })
      stop = started.stop
      await furnish(started.value, { agent, report })
      tell({ port: started.value.port })
      await started.value.exited()
      await leave(1)
    } catch (error) {
      tell({ failed: error instanceof Error ? error.message : String(error) })
      await leave(1)
    }
  })
}

async function furnish(server: Postgres, passwords: { agent: string; report: string }): Promise<void> {
  const known = await server.query('select from pg_database where datname = $1', [shopDatabase])
  if (known.rowCount === 0) for (const statement of shopSetup) await server.query(statement)
  // A first start that was cut short left the database without its tables.
  const tables = await server.query("select to_regclass('public.order_items') as t", [], shopDatabase)
  if (tables.rows[0]?.t === null) await server.query(shopSchema, undefined, shopDatabase)
  for (const [role, password] of [
    [shopRoles.agent, passwords.agent],
    [shopRoles.report, passwords.report],
  ] as const) {
    // ALTER ROLE takes no parameters; the server quotes it.
    const { rows } = await server.query<{ sql: string }>(
      "select format('alter role %I password %L', $1::text, $2::text) as sql",
      [role, password],
    )
    await server.query(rows[0]?.sql ?? '')
  }
}

/** A server whose wrapper was killed still runs on this folder: it is ours, and it must go before a new one starts. */
async function endLeftover(dataDir: string): Promise<void> {
  const pidFile = join(dataDir, 'postmaster.pid')
  if (!existsSync(pidFile)) return
  const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0])
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 50) {
    if (!isPostmasterOf(pid, dataDir)) return
    if (waitedMs === 0) process.kill(pid, 'SIGINT')
    await delay(50)
  }
  process.kill(pid, 'SIGQUIT')
  await delay(500)
}

/** Its working directory is the data folder, which no other process with a recycled id has. */
function isPostmasterOf(pid: number, dataDir: string): boolean {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return command.includes(dataDir) && (command[0] ?? '').endsWith('postgres')
  } catch {
    return false
  }
}
