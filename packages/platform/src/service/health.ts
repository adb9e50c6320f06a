/** /healthz: the process answers. /readyz: it does its work. /metrics: Prometheus text. Nothing else, on an address of its own. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Started } from '@portcullis/kernel'
import type { Registry } from 'prom-client'
import type { Metrics } from './metrics.ts'

/** Which process answers /readyz: whoever started one must not take another's word for it. */
export const pidHeader = 'portcullis-pid'

export interface HealthServer {
  /** HOST:PORT it listens on; empty where none was asked for. */
  readonly address: string
  /** From now on /readyz answers 200 unless a check says otherwise. */
  ready(): void
  /** A reason why the process cannot do its work now, or undefined. */
  check(name: string, reason: () => string | undefined): void
  /** Metrics of this process's children besides its own: /metrics answers with this registry. */
  collect(aggregate: () => Promise<Registry>): void
}

export async function startHealth(
  address: string | undefined,
  metrics: Metrics,
): Promise<Started<HealthServer>> {
  const checks = new Map<string, () => string | undefined>()
  let started = false
  let registryOf = async (): Promise<Registry> => metrics.registry
  const reasons = () => [...checks].flatMap(([name, reason]) => reason()?.replace(/^/, `${name}: `) ?? [])
  const server = createServer(async (request, response) => {
    const reply = (status: number, type: string, body: string) =>
      response.writeHead(status, { 'content-type': type }).end(body)
    if (request.url === '/healthz') return reply(200, 'text/plain', 'ok\n')
    if (request.url === '/metrics') {
      const registry = await registryOf()
      return reply(200, registry.contentType, await registry.metrics())
    }
    if (request.url !== '/readyz') return reply(404, 'text/plain', 'not found\n')
    const why = started ? reasons() : ['starting']
    response.setHeader(pidHeader, process.pid)
    return reply(why.length === 0 ? 200 : 503, 'text/plain', `${why.join('\n') || 'ready'}\n`)
  })
  if (address !== undefined) await listen(server, address)
  return {
    value: {
      address: address === undefined ? '' : addressOf(server),
      ready: () => {
        started = true
      },
      check: (name, reason) => void checks.set(name, reason),
      collect: (aggregate) => {
        registryOf = aggregate
      },
    },
    stop: () => close(server),
  }
}

function listen(server: Server, address: string): Promise<void> {
  const split = address.lastIndexOf(':')
  const host = address.slice(0, split).replace(/^\[|\]$/g, '')
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(Number(address.slice(split + 1)), host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function addressOf(server: Server): string {
  const { address, port, family } = server.address() as AddressInfo
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
}

function close(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => {
    if (server.listening) server.close(() => resolve())
    else resolve()
  })
}
