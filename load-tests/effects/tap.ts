/**
 * Stands between psql and a server, and asks the server about each statement on the client's own connection before the
 * statement runs: same session, same transaction, same search path. What it asks is rolled back, so that the client's
 * work goes on as if nobody had asked. Simple protocol only, which is what psql speaks; loopback only.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Started } from '@portcullis/kernel'

/** As ReadyForQuery says it: idle, in a transaction, in a failed one. */
export type Status = 'I' | 'T' | 'E'

export interface Answer {
  readonly rows: readonly (readonly (string | null)[])[]
  /** The table and number of each column, of the last RowDescription; 0 where it is no stored one. */
  readonly fields: readonly { readonly table: number; readonly attribute: number }[]
  /** SQLSTATE of the first error, empty where none came. */
  readonly code: string
  readonly message: string
  /** Where in the text, in characters from 1; 0 where the server does not say. */
  readonly position: number
}

export interface Asking {
  /** One simple query on the client's connection; what it answers is swallowed. */
  ask(sql: string): Promise<Answer>
  readonly status: Status
}

/** Told of each statement before it is forwarded. */
export type Judge = (sql: string, asking: Asking) => Promise<void>

export async function startTap(
  server: { readonly host: string; readonly port: number },
  judge: Judge,
): Promise<Started<{ readonly port: number }>> {
  const open = new Set<Socket>()
  const listener = createServer((client) => {
    const upstream = connect(server.port, server.host)
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.setNoDelay(true)
      socket.on('close', () => {
        open.delete(socket)
        client.destroy()
        upstream.destroy()
      })
      // Its close follows.
      socket.on('error', () => undefined)
    }
    relay(client, upstream, judge)
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  return {
    value: { port: (listener.address() as AddressInfo).port },
    async stop() {
      for (const socket of open) socket.destroy()
      listener.close()
      await once(listener, 'close')
    },
  }
}

interface Message {
  readonly type: string
  readonly bytes: Buffer
  readonly body: Buffer
}

function relay(client: Socket, upstream: Socket, judge: Judge): void {
  let status: Status = 'I'
  let asked: ((answer: Answer) => void) | undefined
  let answer = emptyAnswer()
  let isFirst = true
  let queue = Promise.resolve()

  const ask = (sql: string) =>
    new Promise<Answer>((resolve) => {
      answer = emptyAnswer()
      asked = resolve
      if (upstream.destroyed) gone()
      else upstream.write(query(sql))
    })
  /** The server went away under a question. */
  const gone = () => asked?.({ ...answer, code: '08006' })
  upstream.on('close', gone)
  const asking: Asking = {
    ask,
    get status() {
      return status
    },
  }

  const fromServer = splitter((message) => {
    const { type, body } = message
    if (type === 'Z') status = body.toString('latin1', 0, 1) as Status
    if (!asked) return void client.write(message.bytes)
    if (type === 'T') answer.fields = fieldsOf(body)
    else if (type === 'D') answer.rows.push(rowOf(body))
    else if (type === 'E' && answer.code === '') Object.assign(answer, errorOf(body))
    // It asks for data to copy in: there is none.
    else if (type === 'G') upstream.write(Buffer.from([0x66, 0, 0, 0, 5, 0]))
    else if (type === 'Z') {
      const done = asked
      asked = undefined
      done(answer)
    }
  })
  upstream.on('data', fromServer)

  const fromClient = splitter((message) => {
    queue = queue.then(async () => {
      if (message.type === 'Q') await judge(message.body.toString('utf8', 0, message.body.length - 1), asking)
      upstream.write(message.bytes)
    })
    queue.catch((error) => client.destroy(error))
  })
  client.on('data', (chunk: Buffer) => {
    // The start-up packet has no type, and comes alone.
    if (isFirst) upstream.write(chunk)
    else fromClient(chunk)
    isFirst = false
  })
}

/** Calls back for each whole message. */
function splitter(found: (message: Message) => void): (chunk: Buffer) => void {
  let left: Buffer = Buffer.alloc(0)
  return (chunk) => {
    left = left.length === 0 ? chunk : Buffer.concat([left, chunk])
    let at = 0
    while (left.length - at >= 5) {
      const end = at + 1 + left.readUInt32BE(at + 1)
      if (end > left.length) break
      const bytes = left.subarray(at, end)
      at = end
      found({ type: String.fromCharCode(bytes[0] ?? 0), bytes, body: bytes.subarray(5) })
    }
    left = left.subarray(at)
  }
}

function query(sql: string): Buffer {
  const text = Buffer.from(`${sql}\0`)
  const head = Buffer.alloc(5)
  head[0] = 0x51
  head.writeUInt32BE(text.length + 4, 1)
  return Buffer.concat([head, text])
}

function rowOf(body: Buffer): (string | null)[] {
  const values: (string | null)[] = []
  let at = 2
  for (let column = body.readUInt16BE(0); column > 0; column--) {
    const length = body.readInt32BE(at)
    at += 4
    values.push(length < 0 ? null : body.toString('utf8', at, at + length))
    at += Math.max(length, 0)
  }
  return values
}

function fieldsOf(body: Buffer): Field[] {
  const fields: Field[] = []
  let at = 2
  for (let column = body.readUInt16BE(0); column > 0; column--) {
    at = body.indexOf(0, at) + 1
    fields.push({ table: body.readUInt32BE(at), attribute: body.readInt16BE(at + 4) })
    at += 18
  }
  return fields
}

type Field = Answer['fields'][number]

function emptyAnswer() {
  return { rows: [] as (string | null)[][], fields: [] as Field[], code: '', message: '', position: 0 }
}

function errorOf(body: Buffer): Omit<Answer, 'rows' | 'fields'> {
  const fields = new Map(
    body
      .toString('utf8')
      .split('\0')
      .map((field) => [field.slice(0, 1), field.slice(1)]),
  )
  return {
    code: fields.get('C') ?? '',
    message: fields.get('M') ?? '',
    position: Number(fields.get('P') ?? 0),
  }
}
