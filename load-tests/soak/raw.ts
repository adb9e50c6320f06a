/** A connection that does what no driver does: stops half-way, reads slowly, leaves by reset. */
import { connect, type Socket } from 'node:net'
import { message, startup } from '../postgres/wire.ts'

export interface Door {
  readonly port: number
  readonly user: string
  readonly password: string
}

export interface Raw {
  readonly socket: Socket
  /** Everything heard so far, as latin1. */
  heard(): string
  /** Waits until the test holds of what was heard; rejects when the connection ends first or it takes 20 s. */
  until(test: (heard: string) => boolean): Promise<void>
  /** Waits until the connection is closed, however. */
  closed(msMax: number): Promise<void>
}

const waitMsMax = 20_000

/** Does what was heard end with ReadyForQuery? */
export function isReady(heard: string): boolean {
  return heard.slice(-6, -1) === 'Z\0\0\0\x05' && 'ITE'.includes(heard.slice(-1))
}

/** A TCP connection that has said nothing yet. */
export async function dial(port: number, options: { allowHalfOpen?: boolean } = {}): Promise<Raw> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true, ...options })
  let heard = ''
  socket.on('data', (chunk) => {
    heard = (heard + chunk.toString('latin1')).slice(-100_000)
  })
  // A reset by the gate is one of the ends that are looked for.
  socket.on('error', () => socket.destroy())
  const raw: Raw = {
    socket,
    heard: () => heard,
    until: (test) =>
      settle(socket, waitMsMax, (done, fail) => {
        const look = () => test(heard) && done()
        socket.on('data', look)
        socket.once('close', () => fail(`closed after ${JSON.stringify(heard.slice(-300))}`))
        look()
      }),
    closed: (msMax) =>
      settle(socket, msMax, (done) => {
        socket.resume()
        if (socket.destroyed) done()
        else socket.once('close', done)
      }),
  }
  await settle(socket, waitMsMax, (done, fail) => {
    socket.once('connect', done)
    socket.once('close', () => fail('not accepted'))
  })
  return raw
}

/** Signed in, ready for a query. */
export async function signIn({ port, user, password }: Door): Promise<Raw> {
  const raw = await dial(port)
  raw.socket.write(startup(user))
  await raw.until((heard) => heard.startsWith('R'))
  raw.socket.write(message('p', password))
  await raw.until(isReady)
  return raw
}

function settle(
  socket: Socket,
  msMax: number,
  watch: (done: () => void, fail: (why: string) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      socket.destroy()
      reject(new Error(`nothing within ${msMax} ms`))
    }, msMax)
    const done = () => {
      clearTimeout(late)
      resolve()
    }
    watch(done, (why) => {
      clearTimeout(late)
      reject(new Error(why))
    })
  })
}
