/** A pgbouncer in session mode before one PostgreSQL, plain and TLS on one port: what the gate is measured against. */
import { spawn } from 'node:child_process'
import { chownSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import type { Postgres } from '@portcullis/testkit/postgres'
import pg from 'pg'

export interface Pgbouncer {
  readonly port: number
  readonly pid: number
}

/** pgbouncer refuses to run as root. */
const nobody = 65_534

/** `dir` must be open to every user. `postgres` must have TLS: its certificate is shown here, too. */
export async function startPgbouncer(
  dir: string,
  postgres: Postgres,
  clientsMax: number,
): Promise<Started<Pgbouncer>> {
  const port = await freePort()
  const path = (name: string) => join(dir, name)
  const { host, user, password, tls } = postgres
  if (!tls) throw new Error('pgbouncer is measured with TLS, too: start PostgreSQL with ssl')
  writeFileSync(path('users.txt'), `"${user}" "${password}"\n`)
  writeFileSync(path('bouncer.crt'), tls.server.certPem)
  writeFileSync(path('bouncer.key'), tls.server.keyPem, { mode: 0o600 })
  writeFileSync(
    path('pgbouncer.ini'),
    `[databases]
postgres = host=${host} port=${postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = plain
auth_file = ${path('users.txt')}
pool_mode = session
max_client_conn = ${clientsMax}
default_pool_size = ${clientsMax}
server_tls_sslmode = disable
client_tls_sslmode = allow
client_tls_cert_file = ${path('bouncer.crt')}
client_tls_key_file = ${path('bouncer.key')}
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
`,
  )
  const asRoot = process.getuid?.() === 0
  if (asRoot) chownSync(path('bouncer.key'), nobody, nobody)
  const child = spawn('pgbouncer', ['-q', path('pgbouncer.ini')], {
    stdio: ['ignore', 'ignore', 'inherit'],
    ...(asRoot && { uid: nobody, gid: nobody }),
  })
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const stop = async () => {
    child.kill('SIGTERM')
    await gone
  }
  if (!(await answers({ port, user, password }))) {
    await stop()
    throw new Error('pgbouncer does not answer; install it (Debian: apt-get install pgbouncer)')
  }
  return { value: { port, pid: child.pid ?? 0 }, stop }
}

async function answers(at: { port: number; user: string; password: string }): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    await sleep(50)
    const client = new pg.Client({ host: '127.0.0.1', database: 'postgres', ...at })
    const up = await client.connect().then(
      () => true,
      () => false,
    )
    await client.end()
    if (up) return true
  }
  return false
}

/** A port of loopback that nobody listens on now. */
export function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    }),
  )
}
