/** A client that keeps every byte it was sent, and reads of it only when it is its turn: for results of any size. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { cstring, frontend, headerBytes, message, startupMessage } from '../protocols/postgres/wire.ts'

export interface TappedClient {
  /** Sends it and waits for so many ReadyForQuery; all that has come since the last time. */
  ask(sent: readonly Buffer[], readies: number): Promise<Buffer>
  end(): void
}

export async function openTapped(
  port: number,
  user: string,
  password: string,
  database: string,
): Promise<TappedClient> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  await once(socket, 'connect')
  let chunks: Buffer[] = []
  let readies = 0
  /** Bytes of the message under way that are still to come; and of a header the part that came. */
  let rest = 0
  let head: Buffer = Buffer.alloc(0)
  let wake: () => void = () => undefined

  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    let at = 0
    while (at < chunk.length) {
      if (rest > 0) {
        const taken = Math.min(rest, chunk.length - at)
        rest -= taken
        at += taken
        continue
      }
      const taken = Math.min(headerBytes - head.length, chunk.length - at)
      head = Buffer.concat([head, chunk.subarray(at, at + taken)])
      at += taken
      if (head.length < headerBytes) break
      rest = head.readUInt32BE(1) - 4
      if (head[0] === 0x5a) readies++
      head = Buffer.alloc(0)
    }
    wake()
  })
  socket.on('error', () => undefined)
  socket.on('close', () => wake())

  const client: TappedClient = {
    async ask(sent, count) {
      socket.write(Buffer.concat(sent))
      while (readies < count || rest > 0) {
        if (socket.destroyed) throw new Error(`the connection ended: ${Buffer.concat(chunks).subarray(-500)}`)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      readies -= count
      const bytes = Buffer.concat(chunks)
      chunks = []
      return bytes
    },
    end: () => socket.destroy(),
  }
  await client.ask(
    [startupMessage(196_608, { user, database }), message(frontend.password, cstring(password))],
    1,
  )
  return client
}
