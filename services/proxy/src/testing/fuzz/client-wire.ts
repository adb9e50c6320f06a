/**
 * Judges every byte that reaches the client. Each message is one of the server's that had its place (see placement.ts),
 * in the server's order, or one of the gate's own; real user, host and password stand in none; and of a message that has
 * no place, and of anything after it, no byte comes.
 */
import { backend, headerBytes, readFields } from '../../protocols/postgres/wire.ts'
import { type Message, MessageReader } from './messages.ts'

/** What the target is really called, and what must not be seen of it. */
export const secrets = { user: 'app', host: 'db.internal', port: 5432, password: 'hunter22' } as const

const afterErrors: ReadonlySet<number> = new Set([
  backend.error,
  backend.notice,
  backend.notification,
  backend.parameterStatus,
  backend.readyForQuery,
])
const rewritten: ReadonlySet<number> = new Set([backend.error, backend.notice, backend.parameterStatus])

export class ClientWire {
  readonly #fault: (what: string) => void
  /** The server keeps to the protocol, so its client must see it kept. */
  readonly #strict: boolean
  /** After an error nothing is answered until ReadyForQuery. */
  #failed = false
  readonly #reader = new MessageReader()
  /** The server's messages that had their place and have not come yet, nor been passed over. */
  #placed: Message[] = []
  #from = 0
  /** The beginning of the server's message that is still coming. */
  #coming: Buffer = Buffer.alloc(0)
  #ended = false
  readonly messages: string[] = []
  /** Messages among these that only the gate can have made. */
  own = 0
  /** Where its own refusals and violations ended the session. */
  fatal: string | undefined

  constructor(fault: (what: string) => void, strict: boolean) {
    this.#fault = fault
    this.#strict = strict
  }

  /** The server has said this, and it has its place. */
  placed(message: Message): void {
    if (this.#from > 64) {
      this.#placed = this.#placed.slice(this.#from)
      this.#from = 0
    }
    this.#placed.push(message)
  }

  /** The server's message under way, where its header has its place. */
  coming(partial: Buffer): void {
    this.#coming = partial
  }

  written(bytes: Buffer): void {
    for (const message of this.#reader.read(bytes)) this.#judge(message)
    const { partial } = this.#reader
    if (partial.length === 0) return
    const whole = this.#placed.some((one, at) => at >= this.#from && startsWith(one.bytes, partial))
    if (!whole && !startsWith(this.#coming, partial))
      this.#fault(`a part of something that the server did not say: ${shown(partial)}`)
  }

  #judge(message: Message): void {
    const { type, bytes } = message
    if (this.#ended) return this.#fault(`after the end: ${shown(bytes)}`)
    this.messages.push(summary(message))
    if (this.#failed && !afterErrors.has(type) && this.#strict)
      this.#fault(`an answer after an error: ${shown(bytes)}`)
    if (type === backend.error) this.#failed = true
    if (type === backend.readyForQuery) this.#failed = false
    if (rewritten.has(type)) this.#keepsSecrets(type, bytes)
    if (this.#isOwn(type, bytes)) return
    const at = this.#find(message)
    if (at !== undefined) this.#from = at + 1
    else if (type === backend.readyForQuery && bytes.length === 6) this.own++
    else this.#fault(`the server did not say this here: ${shown(bytes)}`)
  }

  /** Errors and notices of the gate's own say so in their text. */
  #isOwn(type: number, bytes: Buffer): boolean {
    if (type !== backend.error && type !== backend.notice) return false
    const { S, C, M } = readFields(bytes.subarray(headerBytes))
    if (!M?.startsWith('portcullis: ')) return false
    if (type === backend.error) this.own++
    else this.messages.pop()
    if (S !== 'FATAL') return true
    this.#ended = true
    this.fatal = `${C} ${M}`
    return true
  }

  #find({ type, bytes }: Message): number | undefined {
    for (let at = this.#from; at < this.#placed.length; at++) {
      const one = this.#placed[at] as Message
      if (one.type === type && (rewritten.has(type) ? sameBut(one.bytes, bytes) : one.bytes.equals(bytes)))
        return at
    }
    return undefined
  }

  #keepsSecrets(type: number, bytes: Buffer): void {
    const { user, host, port, password } = secrets
    if (type === backend.parameterStatus) {
      if (bytes.toString('latin1', headerBytes) === `session_authorization\0${user}\0`)
        this.#fault('the real user as session_authorization')
      return
    }
    const { M = '', D = '', H = '', W = '', q = '' } = readFields(bytes.subarray(headerBytes))
    for (const text of [M, D, H, W, q]) {
      if (
        [`"${user}"`, `${host}:${port}`, `"${host}"`, `(${host})`, password].some((one) => text.includes(one))
      )
        this.#fault(`a secret in ${shown(bytes)}`)
    }
  }
}

/** Types with tag, SQLSTATE or status where there is one, as RawClient has them. */
function summary({ type, bytes }: Message): string {
  const letter = String.fromCharCode(type)
  if (type === backend.commandComplete) return `C:${bytes.toString('latin1', headerBytes, bytes.length - 1)}`
  if (type === backend.error) return `E:${readFields(bytes.subarray(headerBytes)).C}`
  if (type === backend.readyForQuery) return `Z:${bytes.toString('latin1', headerBytes)}`
  return letter
}

/** The same message after names were taken out of its texts. */
function sameBut(said: Buffer, got: Buffer): boolean {
  if (said.equals(got)) return true
  if (said[0] === backend.parameterStatus)
    return said.toString('latin1', headerBytes).startsWith('session_authorization\0')
  const before = readFields(said.subarray(headerBytes))
  const after = readFields(got.subarray(headerBytes))
  const fields = Object.entries(before)
  // Of what has no fields that can be read nothing is left where a name had to be taken out.
  if (fields.length === 0) return got.length === headerBytes + 1
  return fields.every(([code, value]) => 'MDHWq'.includes(code) || after[code] === value)
}

function startsWith(bytes: Buffer, start: Buffer): boolean {
  return bytes.length >= start.length && bytes.compare(start, 0, start.length, 0, start.length) === 0
}

function shown(bytes: Buffer): string {
  return JSON.stringify(bytes.toString('latin1', 0, Math.min(bytes.length, 160)))
}
