/**
 * Whether the server's backends of a killed gate go away, and when: by the server's own pg_stat_activity, for the very
 * connections that the kernel says the dead process held. Linux only.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

export interface BackendWatch {
  /** Milliseconds until the last backend of these processes was gone; rejects with what remains after `msMax`. */
  goneAfter(pids: readonly number[], msMax: number): Promise<number>
  stop(): Promise<void>
}

export async function watchBackends(server: { url: string; port: number }): Promise<BackendWatch> {
  const client = new pg.Client({ connectionString: server.url, application_name: 'watch' })
  await client.connect()
  return {
    goneAfter(pids, msMax) {
      // Now, in this turn: its caller is about to kill them.
      const ports = pids.flatMap((pid) => localPorts(pid, server.port))
      return gone(ports, msMax)
    },
    stop: () => client.end(),
  }

  async function gone(ports: readonly number[], msMax: number): Promise<number> {
    const killedAt = new Date()
    const startMs = performance.now()
    for (;;) {
      const { rows } = await client.query<{ query: string; state: string }>(
        'select state, query from pg_stat_activity where client_port = any($1) and backend_start < $2',
        [ports, killedAt],
      )
      const tookMs = performance.now() - startMs
      if (rows.length === 0) return tookMs
      if (tookMs > msMax)
        throw new Error(`backends after ${msMax} ms: ${rows.map(({ state, query }) => `${state} ${query}`)}`)
      await sleep(20)
    }
  }
}

/** Local ports of a process's IPv4 connections to `remotePort`; none for a process that is gone. */
function localPorts(pid: number, remotePort: number): number[] {
  const inodes = new Set<string>()
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1]
      if (inode) inodes.add(inode)
    }
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', remote = '', , , , , , , inode = ''] = line.trim().split(/\s+/)
      return inodes.has(inode) && portOf(remote) === remotePort ? [portOf(local)] : []
    })
}

function portOf(address: string): number {
  return Number.parseInt(address.split(':')[1] ?? '', 16)
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch (error) {
    if (isMissing(error)) return ''
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')
}
