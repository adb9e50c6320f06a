/** For tests: a real HTTP server that stands for Slack, PagerDuty or a webhook, and plays what such services do wrong. */
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { Started } from '@portcullis/kernel'

export type Play =
  | { readonly status: number; readonly body?: string; readonly headers?: Readonly<Record<string, string>> }
  | 'hang'
  | 'drop'

export interface Request {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly body: Body
  readonly atMs: number
}
// What came over the wire; tests assert on what they expect to find.
type Body = Record<string, unknown>

export interface Receiver {
  readonly url: string
  readonly requests: Request[]
  /** Answers for the next requests, in order; then `otherwise`. */
  play(...plays: Play[]): void
  otherwise: (request: Request) => Play
}

export async function startReceiver(otherwise: (request: Request) => Play): Promise<Started<Receiver>> {
  const plays: Play[] = []
  const requests: Request[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request
      const body: Body = text.startsWith('{') ? JSON.parse(text) : {}
      const received = { method, path, headers, text, body, atMs: performance.now() }
      requests.push(received)
      const play = plays.shift() ?? receiver.otherwise(received)
      if (play === 'drop') request.socket.destroy()
      else if (play !== 'hang') response.writeHead(play.status, play.headers).end(play.body ?? '')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}`,
    requests,
    otherwise,
    play: (...more) => plays.push(...more),
  }
  return {
    value: receiver,
    stop() {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

export async function until(condition: () => boolean, what = 'it'): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`${what} did not happen within 10 s`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
