/**
 * Judges every byte that reaches the server: it must belong to a message whose command was recorded and committed before
 * its first byte was written, or to one of those that need no record:
 *
 *   D          describe: it runs nothing and names what was recorded, but the gate must have let it through
 *   C          close: it runs nothing and tells nothing
 *   H S X      flush, sync, terminate: they carry nothing
 *   d c f      a copy's data: its COPY is the command, recorded with its Query or Execute
 *   Q P        the gate's own failing message, `PORTCULLIS REFUSED ID` with an id that the gate has given out
 *   B          where it goes on with the command of its statement's Parse, once, in the same batch
 *   E          where it goes on with the command of its portal's Bind, once
 *
 * Everything else (Q, P, B, E, F) uses up recorded commands that were made of exactly these bytes, or of the name's text.
 */
import { callFunctionAnalysis, unknownStatementAnalysis } from '../../protocols/postgres/own-messages.ts'
import { frontend } from '../../protocols/postgres/wire.ts'
import { MessageReader, nameKey, stringsOf } from './messages.ts'
import type { Entry, Trail } from './trail.ts'

/** A message as the model of a server reads it. */
export interface Forwarded {
  readonly type: number
  readonly bytes: Buffer
  /** What the record says that it runs: source texts, undefined for a command recorded as unknown. */
  readonly recordedAs: readonly (string | undefined)[]
}

const needNone: ReadonlySet<number> = new Set([
  frontend.close,
  frontend.flush,
  frontend.sync,
  frontend.terminate,
  frontend.copyData,
  frontend.copyDone,
  frontend.copyFail,
])
const ownText = /^PORTCULLIS REFUSED (.+)$/

export class ServerWire {
  readonly #trail: Trail
  readonly #isGateId: (id: string) => boolean
  readonly #fault: (what: string) => void
  readonly #reader = new MessageReader()
  /** Every text that a name has stood for. */
  readonly #textsOf = new Map<string, Set<string>>()
  readonly #portalTexts = new Map<string, Set<string>>()
  /** Commits when the first byte of the message under way was written. */
  #committedAtStart = 0
  messages = 0
  #left = false

  constructor(trail: Trail, isGateId: (id: string) => boolean, fault: (what: string) => void) {
    this.#trail = trail
    this.#isGateId = isGateId
    this.#fault = fault
  }

  /** Bytes that the gate has just written; the whole messages among them. */
  written(bytes: Buffer): Forwarded[] {
    if (this.#reader.partial.length === 0) this.#committedAtStart = this.#trail.committed
    const forwarded: Forwarded[] = []
    for (const { type, bytes: whole } of this.#reader.read(bytes)) {
      this.messages++
      this.#left ||= type === frontend.terminate
      forwarded.push({ type, bytes: whole, recordedAs: this.#judge(type, whole) })
      this.#committedAtStart = this.#trail.committed
    }
    return forwarded
  }

  /** Bytes of a message that is not whole: only a copy's data and values to bind come in pieces. */
  get partialType(): number | undefined {
    return this.#reader.partial[0]
  }

  get partialText(): string {
    return shown(this.#reader.partial)
  }

  get partialBytes(): number {
    return this.#reader.partial.length
  }

  #isOwn(text: string): boolean {
    const id = ownText.exec(text)?.[1]
    return id !== undefined && this.#isGateId(id)
  }

  #judge(type: number, bytes: Buffer): readonly (string | undefined)[] {
    if (needNone.has(type)) return []
    switch (type) {
      case frontend.query: {
        const text = bytes.toString('latin1', 5, bytes.length - 1)
        return this.#isOwn(text) ? [] : this.#granted(type, bytes, ({ sources }) => sources.includes(text))
      }
      case frontend.parse: {
        const [name = '', text = ''] = stringsOf(bytes, 2)
        if (this.#isOwn(text)) return []
        addTo(this.#textsOf, nameKey(name), text)
        return this.#granted(type, bytes, ({ sources }) => sources.includes(text))
      }
      case frontend.bind: {
        const [portal = '', name = ''] = stringsOf(bytes, 2).map(nameKey)
        const texts = this.#textsOf.get(name)
        for (const text of texts ?? []) addTo(this.#portalTexts, portal, text)
        return this.#granted(type, bytes, isOf(name, texts))
      }
      case frontend.execute: {
        const [portal = ''] = stringsOf(bytes, 1).map(nameKey)
        return this.#granted(type, bytes, this.#isOfPortal(portal))
      }
      case frontend.describe: {
        const [name = ''] = stringsOf(bytes, 1, 6).map(nameKey)
        const isStatement = bytes[5] === 0x53
        return this.#described(
          bytes,
          isStatement ? isOf(name, this.#textsOf.get(name)) : this.#isOfPortal(name),
        )
      }
      case frontend.functionCall: {
        const { text } = callFunctionAnalysis(bytes.readUInt32BE(5))
        return this.#granted(
          type,
          bytes,
          ({ sources, analysis }) => sources.length === 0 && analysis.text === text,
        )
      }
      default:
        return this.#unrecorded(bytes)
    }
  }

  /** A portal can be of a statement whose text nobody knows, or that SQL has prepared. */
  #isOfPortal(portal: string): (entry: Entry) => boolean {
    const isOfText = isOf(portal, this.#portalTexts.get(portal))
    return (entry) =>
      isOfText(entry) ||
      (entry.sources.length === 0
        ? entry.analysis.verb === 'UNKNOWN'
        : entry.sources.some((source) => source.includes('prepare ')))
  }

  /** The record of the next message that was let through. */
  #granted(type: number, bytes: Buffer, matches: (entry: Entry) => boolean): readonly (string | undefined)[] {
    if (this.#left) this.#fault(`forwarded behind Terminate: ${shown(bytes)}`)
    const granted = this.#trail.granted.shift()
    if (!granted?.entries.every((entry) => matches(entry) && !entry.forwarded.has(type)))
      return this.#unrecorded(bytes)
    const { entries, adopts } = granted
    const whole = entries.every(({ among }) => among === 0 || among === entries.length)
    if (!adopts && type !== frontend.execute && !whole) return this.#unrecorded(bytes)
    if (adopts && entries.some(({ forwarded }) => forwarded.size === 0)) return this.#unrecorded(bytes)
    for (const entry of entries) {
      entry.forwarded.add(type)
      if (entry.number > this.#committedAtStart)
        this.#fault(`command ${entry.number} was forwarded before its record was committed: ${shown(bytes)}`)
    }
    return entries.flatMap<string | undefined>(({ sources }) =>
      sources.length === 0 ? [undefined] : sources,
    )
  }

  /** As often as it likes, of a command under way or of one that stands recorded since an earlier batch. */
  #described(bytes: Buffer, matches: (entry: Entry) => boolean): readonly [] {
    if (this.#left) this.#fault(`forwarded behind Terminate: ${shown(bytes)}`)
    const granted = this.#trail.granted.shift()
    const isGood =
      granted &&
      (granted.entries.length === 0
        ? granted.describes
        : granted.adopts && granted.entries.every((entry) => matches(entry) && entry.forwarded.size > 0))
    if (!isGood) this.#fault(`described undecided: ${shown(bytes)}`)
    return []
  }

  #unrecorded(bytes: Buffer): readonly (string | undefined)[] {
    this.#fault(`forwarded unrecorded: ${shown(bytes)}`)
    return []
  }
}

function addTo(map: Map<string, Set<string>>, name: string, text: string): void {
  const texts = map.get(name) ?? new Set()
  map.set(name, texts.add(text))
}

/** A command of one of these texts, of the text that gave the name by SQL, or of a name whose text did not pass the gate. */
function isOf(name: string, texts: ReadonlySet<string> | undefined): (entry: Entry) => boolean {
  const unknown = unknownStatementAnalysis(name).text
  return ({ sources, analysis }) =>
    sources.length === 0
      ? analysis.text === unknown
      : sources.some((source) => texts?.has(source) || source.includes(`prepare ${name} as `))
}

function shown(bytes: Buffer): string {
  return JSON.stringify(bytes.toString('latin1', 0, Math.min(bytes.length, 120)))
}
