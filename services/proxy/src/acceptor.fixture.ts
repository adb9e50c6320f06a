/** A process that accepts from the queue it is handed, answers a client's first byte with one, and says how many came. */
import { createServer } from 'node:net'
import type { BoundSocket } from './accept-queues.ts'

let served = 0
const server = createServer((socket) => {
  served++
  socket.on('error', () => undefined)
  socket.once('data', () => socket.end('x'))
})
process.on('message', (message, socket: BoundSocket | undefined) => {
  if (message === 'accept') server.listen(socket, () => process.send?.('accepting'))
  else server.close(() => process.send?.(served, undefined, undefined, () => process.exit()))
})
