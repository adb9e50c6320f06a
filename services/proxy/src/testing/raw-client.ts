/** A client that sends exact bytes: for pipelines, split messages and what no driver would do. */
import { connect, type Socket } from 'node:net'
import { cstring, frontend, int32, message, readFields, startupMessage } from '../protocols/postgres/wire.ts'

export interface Reply {
  readonly type: string
  readonly payload: Buffer
}

export class RawClient {
  readonly socket: Socket
  readonly replies: Reply[] = []
  #held: Buffer = Buffer.alloc(0)
  #wake: () => void = () => undefined
  closed = false
  /** Settings that came again unchanged: the gate asks so whether somebody is there, at times that no test can tell. */
  nothingNew = 0
  readonly #settings = new Map<string, string>()

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#held = Buffer.concat([this.#held, chunk])
      while (this.#held.length >= 5 && this.#held.length > this.#held.readUInt32BE(1)) {
        const end = this.#held.readUInt32BE(1) + 1
        const type = String.fromCharCode(this.#held[0] ?? 0)
        const payload = this.#held.subarray(5, end)
        if (type === 'S' && this.#knows(payload)) this.nothingNew++
        else this.replies.push({ type, payload })
        this.#held = this.#held.subarray(end)
      }
      this.#wake()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  /** Signs in with a cleartext password and waits for ReadyForQuery. */
  static async open(
    port: number,
    user: string,
    password: string,
    database: string,
    version = 196_608,
  ): Promise<RawClient> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    const client = new RawClient(socket)
    socket.write(startupMessage(version, { user, database }))
    socket.write(message(frontend.password, cstring(password)))
    await client.ready(1)
    return client
  }

  #knows(setting: Buffer): boolean {
    const [name = '', value = ''] = setting.toString().split('\0')
    const isKnown = this.#settings.get(name) === value
    this.#settings.set(name, value)
    return isKnown
  }

  write(bytes: Buffer): void {
    this.socket.write(bytes)
  }

  /** Waits until `count` ReadyForQuery have come since the start or the last `take`. */
  ready(count: number): Promise<void> {
    return this.until(() => this.replies.filter(({ type }) => type === 'Z').length >= count)
  }

  async until(met: () => boolean, msMax = 10_000): Promise<void> {
    const deadline = performance.now() + msMax
    while (!met()) {
      if (this.closed) throw new Error(`closed after ${this.summary().join(' ')}`)
      if (performance.now() > deadline) throw new Error(`nothing more came after ${this.summary().join(' ')}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        setTimeout(resolve, 50)
      })
    }
  }

  /** The replies so far, which are then forgotten. */
  take(): Reply[] {
    return this.replies.splice(0)
  }

  /** Types, with tag, SQLSTATE or status where there is one. */
  summary(replies: readonly Reply[] = this.replies): string[] {
    return replies.map(({ type, payload }) => {
      if (type === 'C') return `C:${payload.toString('utf8', 0, payload.length - 1)}`
      if (type === 'E') return `E:${readFields(payload).C}`
      if (type === 'Z') return `Z:${payload.toString()}`
      return type
    })
  }

  end(): void {
    this.socket.destroy()
  }
}

/** Messages of a client. */
export const send = {
  query: (sql: string) => message(frontend.query, cstring(sql)),
  parse: (name: string, sql: string, types: readonly number[] = []) =>
    message(frontend.parse, cstring(name), cstring(sql), Buffer.of(0, types.length), ...types.map(int32)),
  bindBinary: (portal: string, name: string, values: readonly Buffer[]) =>
    message(
      frontend.bind,
      ...[cstring(portal), cstring(name), Buffer.of(0, 1, 0, 1), Buffer.of(0, values.length)],
      ...values.flatMap((value) => [int32(value.length), value]),
      Buffer.alloc(2),
    ),
  bind: (portal: string, name: string, values: readonly (string | Buffer)[] = []) =>
    message(
      frontend.bind,
      cstring(portal),
      cstring(name),
      Buffer.alloc(2),
      Buffer.of(values.length >> 8, values.length & 255),
      ...values.flatMap((value) => [int32(Buffer.byteLength(value)), Buffer.from(value)]),
      Buffer.alloc(2),
    ),
  describe: (kind: 'S' | 'P', name: string) => message(frontend.describe, Buffer.from(kind), cstring(name)),
  execute: (portal: string, rowsMax = 0) => message(frontend.execute, cstring(portal), int32(rowsMax)),
  close: (kind: 'S' | 'P', name: string) => message(frontend.close, Buffer.from(kind), cstring(name)),
  sync: () => message(frontend.sync),
  flush: () => message(frontend.flush),
  copyData: (data: string | Buffer) => message(frontend.copyData, Buffer.from(data)),
  copyDone: () => message(frontend.copyDone),
  copyFail: (why: string) => message(frontend.copyFail, cstring(why)),
  terminate: () => message(frontend.terminate),
}
