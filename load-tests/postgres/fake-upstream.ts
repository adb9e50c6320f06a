/**
 * A server that lets everyone in and answers every Query with an empty result, as a process of its own: five thousand
 * real backends would need more memory than the machines that these measurements are made for have.
 * Says its port over IPC and ends with its parent.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { int32, message, ready } from './wire.ts'

const welcome = Buffer.concat([
  message('R', int32(0)),
  message('S', 'server_version', '18.0'),
  message('S', 'client_encoding', 'UTF8'),
  message('S', 'standard_conforming_strings', 'on'),
  message('K', int32(1), int32(2)),
  ready,
])
const answer = Buffer.concat([message('C', 'SELECT 0'), ready])

const server = createServer({ noDelay: true }, serve)
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () =>
  process.send?.({ port: (server.address() as AddressInfo).port }),
)
process.once('disconnect', () => process.exit())

function serve(socket: Socket): void {
  let held: Buffer = Buffer.alloc(0)
  let opened = false
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    held = Buffer.concat([held, chunk])
    for (;;) {
      const head = opened ? 1 : 0
      if (held.length < head + 4 || held.length < head + held.readUInt32BE(head)) return
      const type = opened ? held[0] : 0
      held = held.subarray(head + held.readUInt32BE(head))
      if (type === 0x58) return void socket.end()
      socket.write(opened ? answer : welcome)
      opened = true
    }
  })
}
