/**
 * Holds many idle sessions, as a process of its own so that their memory is not the bench's. Told `{ open: N }`: opens N
 * more, each with one query; told `{ close: true }`: ends all. Answers `{ open: N }` when that is done.
 *
 *   holder.ts '{ "port", "user", "password" }'
 */
import { connect, type Socket } from 'node:net'
import { message, startup } from './wire.ts'

const at = JSON.parse(process.argv[2] ?? '{}') as { port: number; user: string; password: string }
const held = new Set<Socket>()
const atOnce = 32

process.on('message', (order: { open?: number; close?: true }) => {
  void (order.open ? openMany(order.open) : closeAll()).then(
    () => process.send?.({ open: held.size }),
    (error: Error) => process.send?.({ failed: error.message }),
  )
})
process.once('disconnect', () => process.exit())
process.send?.({ open: 0 })

async function openMany(count: number): Promise<void> {
  let left = count
  const work = async () => {
    while (left-- > 0) await openOne()
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

function openOne(): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port: at.port, noDelay: true })
  held.add(socket)
  return new Promise((resolve, reject) => {
    let heard = Buffer.alloc(0)
    let step = 0
    const steps = [message('p', at.password), message('Q', 'select 1')]
    const failed = () =>
      reject(new Error(`a session was not opened: ${heard.toString('latin1').slice(-300)}`))
    socket.once('error', failed).once('close', failed)
    socket.write(startup(at.user))
    const listen = (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk])
      const asksPassword = step === 0 && heard[0] === 0x52 && heard.length >= 9 && heard.readInt32BE(5) === 3
      const isReady = heard.length >= 6 && heard.at(-6) === 0x5a && heard.at(-1) === 0x49
      if (!asksPassword && !isReady) return
      if (isReady && step === 2) {
        socket.off('error', failed).off('close', failed).off('data', listen)
        socket.on('error', () => socket.destroy())
        socket.once('close', () => held.delete(socket))
        return resolve()
      }
      // A server that trusts everyone asks for nothing.
      if (isReady) step = 1
      heard = Buffer.alloc(0)
      socket.write(steps[step++] ?? '')
    }
    socket.on('data', listen)
  })
}

function closeAll(): Promise<unknown> {
  return Promise.all(
    [...held].map(
      (socket) =>
        new Promise<void>((resolve) => {
          socket.once('close', () => resolve())
          socket.resume()
          socket.end(message('X'))
        }),
    ),
  )
}
