/** Ports on loopback: free ones for what only this machine's parts use, and a clear word where a wanted one is taken. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export type WantedPort = { readonly address: string; readonly what: string; readonly howToChange: string }

/** All different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listen('127.0.0.1', 0)))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map(close))
  return ports
}

/** Throws an Error that names every port that is taken. Waits up to `waitMs` for them to be let go. */
export async function assertPortsFree(wanted: readonly WantedPort[], waitMs: number): Promise<void> {
  const deadline = Date.now() + waitMs
  for (;;) {
    const taken: string[] = []
    for (const { address, what, howToChange } of wanted) {
      const why = await whyTaken(address)
      if (why) taken.push(`${address} (${what}) cannot be used: ${why}. ${howToChange}`)
    }
    if (taken.length === 0) return
    if (Date.now() >= deadline) throw new Error(taken.join('\n'))
    await delay(200)
  }
}

async function whyTaken(address: string): Promise<string | undefined> {
  const split = address.lastIndexOf(':')
  try {
    await close(
      await listen(address.slice(0, split).replace(/^\[|\]$/g, ''), Number(address.slice(split + 1))),
    )
    return undefined
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code === 'EADDRINUSE') return 'another program listens there'
    if (code === 'EACCES') return 'this user may not listen there'
    return error instanceof Error ? error.message : String(error)
  }
}

async function listen(host: string, port: number): Promise<Server> {
  const server = createServer()
  server.listen(port, host)
  await once(server, 'listening')
  return server
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}
