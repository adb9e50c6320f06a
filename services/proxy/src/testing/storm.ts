/**
 * Clients that connect without pause and say how it went: half of them as far as the first answer of the gate, which is
 * fast, half with a login and a query. What fails is kept with the instant at which it was begun.
 */
import { connect } from 'node:net'
import pg from 'pg'

export interface Failure {
  /** As performance.now() has it. */
  readonly beganMs: number
  readonly why: string
}

export interface Storm {
  readonly failures: readonly Failure[]
  /** Connects that were answered, and logins that were served. */
  readonly connects: () => number
  readonly logins: () => number
  stop(): Promise<void>
}

export interface StormOptions {
  readonly port: number
  /** Connection URL with a token. */
  readonly url: string
  /** Connections at any time, of each kind. */
  readonly atOnce: { readonly connects: number; readonly logins: number }
}

export function startStorm({ port, url, atOnce }: StormOptions): Storm {
  const failures: Failure[] = []
  let connects = 0
  let logins = 0
  let stopped = false

  async function again(once: () => Promise<void>): Promise<void> {
    while (!stopped) {
      const beganMs = performance.now()
      try {
        await once()
      } catch (error) {
        failures.push({ beganMs, why: String(error) })
      }
    }
  }

  const running = [
    ...Array.from({ length: atOnce.connects }, () => again(() => knock(port).then(() => void connects++))),
    ...Array.from({ length: atOnce.logins }, () => again(() => signIn(url).then(() => void logins++))),
  ]
  return {
    failures,
    connects: () => connects,
    logins: () => logins,
    async stop() {
      stopped = true
      await Promise.all(running)
    },
  }
}

/** A client's own patience: a connection that nobody accepts fails by it. */
const answerMsMax = 5000
/** Length 8, code 80877103: "may we speak TLS?", answered with one byte. */
const sslRequest = Buffer.from('0000000804d2162f', 'hex')

/** Connects, sends one message, and resolves with the first answer. */
export function knock(port: number, host = '127.0.0.1'): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true }, () => socket.write(sslRequest))
    let answered = false
    socket.setTimeout(answerMsMax, () => socket.destroy(new Error(`no answer within ${answerMsMax} ms`)))
    socket.once('data', () => {
      answered = true
      socket.destroy()
    })
    socket.once('error', reject)
    socket.once('close', () => (answered ? resolve() : reject(new Error('closed without an answer'))))
  })
}

async function signIn(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: answerMsMax })
  let broken: Error | undefined
  client.on('error', (error) => {
    broken = error
  })
  await client.connect()
  await client.query('select 1')
  await client.end()
  if (broken) throw broken
}
