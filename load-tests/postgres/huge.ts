/**
 * Single values near PostgreSQL's own limit of 1 GB (a bind value, a message of a copy, a row, a row copied out) and a
 * copy of as much in ordinary pieces: each reaches the other side whole, and the gate's worker holds none of it. By bare
 * sockets, since a driver would hold the value in this process. It says nothing of speed.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { residentBytes } from '@portcullis/testkit/system'
import type { Row } from '../report.ts'
import type { Side } from './sides.ts'
import { int32, message, startup } from './wire.ts'

export interface Huge {
  readonly name: string
  /** What passed, as the receiving side counts it. */
  readonly passedBytes: number
  /** The worker's largest size meanwhile, beyond what it had before all. */
  readonly grownBytes: number
  readonly seconds: number
}

const pieceBytes = 65_536
const lineBytes = 1000

interface Work {
  readonly name: string
  /** Returns what the receiving side counted. */
  run(client: HugeClient, bytes: number): Promise<number>
}

const works: readonly Work[] = [
  {
    name: 'a bind value',
    async run(client, bytes) {
      await client.send(message('P', '', 'select octet_length($1::bytea)', Buffer.alloc(2)))
      // No name, no name, one format for all (binary), one value.
      const head = Buffer.concat([Buffer.from('\0\0\0\x01\0\x01\0\x01', 'latin1'), int32(bytes)])
      await client.sendLarge('B', head, bytes, 'x'.repeat(pieceBytes), Buffer.alloc(2))
      await client.send(message('E', '', int32(0)), message('S'))
      return client.oneValue()
    },
  },
  {
    name: 'one message of a copy',
    async run(client, bytes) {
      await client.send(message('Q', 'copy huge_lines from stdin'))
      await client.sendLarge('d', Buffer.alloc(0), bytes, lines)
      await client.send(message('c'))
      await client.answered()
      await client.send(message('Q', 'select count(*) * 1000 from huge_lines; truncate huge_lines'))
      return client.oneValue()
    },
  },
  {
    name: 'a copy in pieces',
    async run(client, bytes) {
      await client.send(message('Q', 'copy huge_lines from stdin'))
      const piece = message('d', Buffer.from(lines))
      for (let sent = 0; sent < bytes; sent += lines.length) await client.send(piece)
      await client.send(message('c'))
      await client.answered()
      await client.send(message('Q', 'select count(*) * 1000 from huge_lines; truncate huge_lines'))
      return client.oneValue()
    },
  },
  {
    name: 'a row',
    async run(client, bytes) {
      await client.send(message('Q', `select repeat('x', ${bytes})`))
      return (await client.answered()).largestBytes
    },
  },
  {
    name: 'a row copied out',
    async run(client, bytes) {
      await client.send(message('Q', `copy (select repeat('x', ${bytes})) to stdout`))
      return (await client.answered()).largestBytes
    },
  },
]

const lines = `${'x'.repeat(lineBytes - 1)}\n`.repeat(50)

/** `workerPid`: the one process that serves `gate`. `bytes`: a multiple of 50,000, below 1 GiB. */
export async function passHuge(gate: Side, workerPid: number, bytes: number): Promise<Huge[]> {
  const done: Huge[] = []
  const client = await HugeClient.open(gate)
  // Unlogged, so that the road and not the disk is what is waited for.
  await client.send(message('Q', 'create unlogged table if not exists huge_lines (line text)'))
  await client.answered()
  const before = residentBytes(workerPid)
  for (const { name, run } of works) {
    let peak = 0
    const watching = setInterval(() => {
      peak = Math.max(peak, residentBytes(workerPid))
    }, 50)
    const sinceMs = performance.now()
    const passedBytes = await run(client, bytes).finally(() => clearInterval(watching))
    const seconds = (performance.now() - sinceMs) / 1000
    done.push({ name, passedBytes, grownBytes: Math.max(0, peak - before), seconds })
  }
  client.close()
  return done
}

/** Rows of the report. */
export async function hugeValues(gate: Side, bytes: number): Promise<Row[]> {
  const [pid = 0] = gate.parts().worker ?? []
  const done = await passHuge(gate, pid, bytes)
  return done.flatMap(({ name, passedBytes, grownBytes, seconds }) => [
    { row: `${name}: passed`, value: passedBytes / 1e6, unit: 'MB', aim: { atLeast: bytes / 1e6 } },
    {
      row: `${name}: growth of the worker's memory`,
      value: grownBytes / 1e6,
      unit: 'MB',
      aim: { atMost: 64 },
    },
    { row: `${name}: took`, value: seconds, unit: 's' },
  ])
}

interface Answered {
  /** Payload of the largest message of rows or copied data. */
  readonly largestBytes: number
  /** The first value of the last small row. */
  readonly value: string
}

/** Writes as the socket takes it, and forgets what it reads but for small rows and errors. */
class HugeClient {
  readonly #socket: Socket
  #held: Buffer = Buffer.alloc(0)
  /** Bytes of a large message that are still to come. */
  #rest = 0
  #largestBytes = 0
  #value = ''
  #ready = 0
  #failed: Error | undefined
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the connection ended')))
  }

  static async open({ port, user, password }: Side): Promise<HugeClient> {
    const socket = connect({ host: '127.0.0.1', port })
    await once(socket, 'connect')
    const client = new HugeClient(socket)
    await client.send(startup(user), message('p', password))
    await client.answered()
    return client
  }

  async send(...messages: readonly Buffer[]): Promise<void> {
    for (const one of messages) {
      if (this.#failed) throw this.#failed
      if (!this.#socket.write(one)) await Promise.race([once(this.#socket, 'drain'), this.#failure()])
    }
  }

  /** One message: `head`, then `bytes` of `filling` again and again, then `tail`. */
  async sendLarge(
    type: string,
    head: Buffer,
    bytes: number,
    filling: string,
    tail: Buffer = Buffer.alloc(0),
  ): Promise<void> {
    const length = 4 + head.length + bytes + tail.length
    await this.send(Buffer.concat([Buffer.from(type, 'latin1'), int32(length), head]))
    const piece = Buffer.from(filling)
    for (let sent = 0; sent < bytes; sent += piece.length)
      await this.send(piece.subarray(0, Math.min(piece.length, bytes - sent)))
    await this.send(tail)
  }

  /** Up to ReadyForQuery; rejects with the server's error. */
  async answered(): Promise<Answered> {
    while (this.#ready === 0 && !this.#failed) await this.#failure()
    if (this.#failed) throw this.#failed
    this.#ready--
    const answered = { largestBytes: this.#largestBytes, value: this.#value }
    this.#largestBytes = 0
    return answered
  }

  async oneValue(): Promise<number> {
    return Number((await this.answered()).value)
  }

  close(): void {
    this.#socket.removeAllListeners('close').destroy()
  }

  /** Resolves when something has come or gone wrong. */
  #failure(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #fail(error: Error): void {
    this.#failed ??= error
    this.#wake()
  }

  #read(chunk: Buffer): void {
    const skipped = Math.min(this.#rest, chunk.length)
    this.#rest -= skipped
    this.#held = Buffer.concat([this.#held, chunk.subarray(skipped)])
    while (this.#held.length >= 5) {
      const type = String.fromCharCode(this.#held[0] ?? 0)
      const total = this.#held.readUInt32BE(1) + 1
      if (type === 'D' || type === 'd') this.#largestBytes = Math.max(this.#largestBytes, total - 5)
      const isSmall = total <= pieceBytes
      if (isSmall && this.#held.length < total) break
      if (isSmall) this.#message(type, this.#held.subarray(5, total))
      else this.#rest = Math.max(0, total - this.#held.length)
      this.#held = this.#held.subarray(total)
    }
    if (this.#ready > 0) this.#wake()
  }

  #message(type: string, payload: Buffer): void {
    // Behind the number of columns and the length of the first.
    if (type === 'D') this.#value = payload.toString('utf8', 6)
    if (type === 'E') this.#fail(new Error(payload.toString().replaceAll('\0', ' ')))
    if (type === 'Z') this.#ready++
  }
}
