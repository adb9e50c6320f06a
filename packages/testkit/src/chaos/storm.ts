/**
 * Clients that connect without pause and say how it went: half of them as far as the first answer of the gate, which is
 * fast, half with a login and a query. What fails is kept with the instant at which it was begun.
 */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

export interface Failure {
  readonly kind: 'connect' | 'login'
  /** As performance.now() has it. */
  readonly beganMs: number
  readonly why: string
}

export interface Storm {
  readonly failures: readonly Failure[]
  /** Connects that were answered, and logins that were served. */
  readonly connects: () => number
  readonly logins: () => number
  /** The longest that a connect took to its first answer. */
  readonly slowestMs: () => number
  stop(): Promise<void>
}

export interface StormOptions {
  readonly port: number
  /** Connection URL with a token. */
  readonly url: string
  /** Connections at any time, of each kind. */
  readonly atOnce: { readonly connects: number; readonly logins: number }
  /** After each; without, they take all of the machine. */
  readonly pauseMs?: number
}

export function startStorm({ port, url, atOnce, pauseMs = 0 }: StormOptions): Storm {
  const failures: Failure[] = []
  const done = { connect: 0, login: 0 }
  let slowestMs = 0
  let stopped = false

  async function again(kind: 'connect' | 'login'): Promise<void> {
    while (!stopped) {
      const beganMs = performance.now()
      try {
        await (kind === 'connect' ? knock(port) : signIn(url))
        done[kind]++
        if (kind === 'connect') slowestMs = Math.max(slowestMs, performance.now() - beganMs)
      } catch (error) {
        failures.push({ kind, beganMs, why: String(error) })
      }
      if (pauseMs > 0) await sleep(pauseMs)
    }
  }

  const running = [
    ...Array.from({ length: atOnce.connects }, () => again('connect')),
    ...Array.from({ length: atOnce.logins }, () => again('login')),
  ]
  return {
    failures,
    connects: () => done.connect,
    logins: () => done.login,
    slowestMs: () => slowestMs,
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
