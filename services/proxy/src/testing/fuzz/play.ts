/**
 * Plays one script on one session: the gate's own relay between two ends in this process, a model of a server (or the
 * script's own bytes) behind it, and a judge on each wire. Everything that may not happen comes back as a fault.
 */
import { systemClock } from '@portcullis/kernel'
import type { SqlAnalyzer } from '@portcullis/sql'
import { createReadText } from '../../protocols/postgres/read-text.ts'
import { type Relay, startRelay } from '../../protocols/postgres/relay.ts'
import { FrameError } from '../../protocols/postgres/frames.ts'
import { ProtocolViolation } from '../../protocols/postgres/request-rules.ts'
import { createScrub } from '../../protocols/postgres/scrub.ts'
import { backend, frontend } from '../../protocols/postgres/wire.ts'
import { send } from '../raw-client.ts'
import { ClientWire } from './client-wire.ts'
import { GateEnd } from './gate-end.ts'
import { MessageReader } from './messages.ts'
import { lastQuery } from './model-statements.ts'
import { ModelServer } from './model-server.ts'
import { Placement } from './placement.ts'
import type { Script, Step } from './script.ts'
import { type Forwarded, ServerWire } from './server-wire.ts'
import { type FuzzedSession, openFuzzed } from './session.ts'
import { after, Trail } from './trail.ts'

export interface Played {
  readonly faults: readonly string[]
  /** Of the script's messages, those that were sent before the session ended. */
  readonly frames: number
  /** Messages that reached the server, and the client. */
  readonly toServer: number
  readonly toClient: number
  readonly commands: number
  /** Why the session ended. */
  readonly ended: string
  /** The longest that one chunk of input has kept the event loop. */
  readonly turnMsMax: number
}

const boundMs = 5000
/** On a busy machine time passes in which nothing could have happened. */
const turnsMin = 200
const listenersMax = 12
/** Whatever a session is in the middle of, it answers the last of these or has ended. */
const lastWords = Buffer.concat([
  send.copyFail('end'),
  send.sync(),
  send.query('rollback'),
  send.query(lastQuery.text),
])

export async function play(script: Script, analyzer: SqlAnalyzer): Promise<Played> {
  const playing = new Playing(script, analyzer)
  let taken = 0
  while (taken < script.steps.length && playing.over === undefined)
    await playing.take(script.steps[taken++] as Step)
  await playing.end()
  return { ...playing.result(), frames: Math.round((script.frames * taken) / script.steps.length) }
}

class Playing {
  over: string | undefined
  readonly #script: Script
  /** The server's bytes are the script's, whatever it is asked. */
  readonly #isScripted: boolean
  readonly #faults: string[] = []
  readonly #trail: Trail
  readonly #fuzzed: FuzzedSession
  readonly #client: GateEnd
  readonly #server: GateEnd
  readonly #relay: Relay
  readonly #serverWire: ServerWire
  readonly #clientWire: ClientWire
  readonly #placement = new Placement()
  readonly #said = new MessageReader()
  readonly #model: ModelServer
  /** Forwarded and not yet answered; the byte at which each has arrived as a whole. */
  #queue: { readonly forwarded: Forwarded; readonly arrivesAt: number }[] = []
  #writtenBytes = 0
  #takenBytes = 0
  /** The model's answer under way. */
  #saying: { readonly type: number; messages: Buffer[] } = { type: 0, messages: [] }
  #cancels = 0
  /** The message that has reached the server in part was noted as forwarded. */
  #begun = false
  /** What a client of the model itself would have sent. */
  readonly #sent: Buffer[] = []

  constructor(script: Script, analyzer: SqlAnalyzer) {
    const fault = (what: string) => void this.#faults.push(what)
    const { options } = script
    this.#script = script
    this.#isScripted = script.steps.some((step) => 'server' in step)
    this.#trail = new Trail(options.durability, fault)
    this.#fuzzed = openFuzzed(options, this.#trail)
    this.#serverWire = new ServerWire(this.#trail, this.#fuzzed.isGateId, fault)
    this.#clientWire = new ClientWire(fault, !this.#isScripted)
    this.#model = new ModelServer((what) => fault(`misrecorded: ${what}`))
    const changed = () => fault('bytes changed between write and the socket')
    this.#client = new GateEnd({
      written: (bytes) => this.#clientWire.written(bytes),
      taken: () => undefined,
      read: () => undefined,
      changed,
    })
    this.#server = new GateEnd({
      written: (bytes) => this.#toServer(bytes),
      taken: (bytes) => {
        this.#takenBytes += bytes.length
      },
      read: (bytes) => this.#place(bytes),
      changed,
    })
    const { session } = this.#fuzzed
    this.#relay = startRelay({
      client: this.#client.source,
      early: Buffer.alloc(0),
      upstream: {
        source: this.#server.source,
        status: 'I',
        cancel: () => this.#cancelArrives(),
        drop: () => void this.#server.destroy(),
      },
      settings: new Map(),
      session: this.#trail.follow(session),
      scrub: createScrub(session.target),
      readText: this.#trail.watch(createReadText(analyzer, {}), options.readingTurns),
      clock: systemClock,
      statementBytesMax: options.statementBytesMax,
      log: { warn: (fields) => this.#logged(fields) },
    })
    void this.#relay.over.then(({ detail }) => {
      this.over = detail
      this.#server.destroy()
      session.close(detail)
    })
  }

  async take(step: Step): Promise<void> {
    if ('client' in step) {
      const bytes = Buffer.from(step.client, 'hex')
      this.#sent.push(bytes)
      this.#client.bring(bytes)
    } else if ('server' in step) this.#server.bring(Buffer.from(step.server, 'hex'))
    else if ('answer' in step) this.#answer(step.answer, step.cut)
    else if ('verdict' in step) this.#fuzzed.judge(step.verdict, step.cancelRunning ?? false)
    else if ('cancel' in step) this.#cancel()
    else if ('slow' in step) (step.slow === 'client' ? this.#client : this.#server).slow = step.is
    else if ('recording' in step) this.#trail.available = step.recording
    else if ('drain' in step) this.#fuzzed.drain()
    else if ('lost' in step) (step.lost === 'client' ? this.#client : this.#server).destroy()
    else await after(step.turns)
  }

  /** Everything is well again; a session that goes on must answer, and end when its client does. */
  async end(): Promise<void> {
    this.#client.slow = false
    this.#server.slow = false
    this.#trail.available = true
    this.#fuzzed.judge('none', false)
    const canBeAsked = !this.#isScripted && this.#isFramed()
    if (canBeAsked && !this.#client.destroyed) {
      await this.take({ client: lastWords.toString('hex') })
      const from = this.#clientWire.messages.length
      await this.#until('answers no more', () => this.over !== undefined || this.#answered(from))
    }
    // A client that leaves may do so in the middle of a message.
    if (canBeAsked) this.#client.bring(send.terminate())
    await this.#within(0, () => this.over !== undefined)
    this.#client.destroy()
    await this.#until('does not end', () => this.over !== undefined)
    await after(2)
    this.#check()
  }

  /** The client has sent whole messages, so that what follows is read as one. */
  #isFramed(): boolean {
    const reader = new MessageReader()
    reader.read(Buffer.concat(this.#sent))
    return reader.partial.length === 0
  }

  result(): Omit<Played, 'frames'> {
    return {
      faults: this.#faults,
      toServer: this.#serverWire.messages,
      toClient: this.#clientWire.messages.length,
      commands: this.#trail.entries.length,
      ended: this.over ?? '',
      turnMsMax: Math.max(this.#client.turnMsMax, this.#server.turnMsMax),
    }
  }

  #answered(from: number): boolean {
    const { messages, own } = this.#clientWire
    const last = messages.lastIndexOf(lastQuery.tag)
    const refused = own > 0 && messages.slice(from).some((one) => one.startsWith('E:'))
    return (last >= from || refused) && messages.at(-1)?.startsWith('Z:') === true
  }

  #toServer(bytes: Buffer): void {
    let arrivesAt = this.#writtenBytes - this.#serverWire.partialBytes
    this.#writtenBytes += bytes.length
    for (const forwarded of this.#serverWire.written(bytes)) {
      arrivesAt += forwarded.bytes.length
      this.#queue.push({ forwarded, arrivesAt })
      if (!this.#begun) this.#placement.forwarded(forwarded.type)
      this.#begun = false
    }
    // Of what has begun to go out a server might say something.
    const { partialType } = this.#serverWire
    if (partialType === undefined || this.#begun) return
    this.#begun = true
    this.#placement.forwarded(partialType)
  }

  #place(bytes: Buffer): void {
    for (const message of this.#said.read(bytes)) {
      const status = String.fromCharCode(message.bytes[5] ?? 0)
      if (this.#placement.takes(message.type, message.bytes.length === 6 ? status : ''))
        this.#clientWire.placed(message)
    }
    const { partial } = this.#said
    const streams = partial.length >= 5 && this.#placement.wouldTake(partial[0] as number)
    this.#clientWire.coming(streams ? partial : Buffer.alloc(0))
  }

  /** Lets the model say so many pieces of at most `cut` bytes. */
  #answer(pieces: number, cut: number): void {
    let left = pieces
    while (left > 0 && !this.#server.destroyed) {
      if (this.#saying.messages.length === 0 && !this.#nextAnswer()) return
      const whole = Buffer.concat(this.#saying.messages)
      for (let at = 0; at < whole.length; at += cut) {
        this.#server.bring(whole.subarray(at, at + cut))
        if (--left > 0) continue
        this.#saying.messages = at + cut < whole.length ? [whole.subarray(at + cut)] : []
        return
      }
      this.#saying.messages = []
    }
  }

  #nextAnswer(): boolean {
    for (;;) {
      const next = this.#queue[0]
      if (!next || next.arrivesAt > this.#takenBytes) return false
      this.#queue.shift()
      const { forwarded } = next
      this.#saying = { type: forwarded.type, messages: this.#model.answer(forwarded) }
      if (this.#model.ended) {
        this.#server.bring(Buffer.concat(this.#saying.messages))
        setImmediate(() => this.#server.destroy())
        return false
      }
      if (this.#saying.messages.length > 0) return true
    }
  }

  #cancel(): void {
    this.#cancels++
    this.#relay.cancel()
  }

  /** The server is told: where rows were still to come, it stops in their middle. */
  async #cancelArrives(): Promise<void> {
    this.#cancels++
    await after(this.#script.options.cancelTurns)
    const { type, messages } = this.#saying
    const asks = type === frontend.query || type === frontend.execute
    const left = new MessageReader()
    const only = left.read(Buffer.concat(messages))
    if (!asks || only[0]?.type !== backend.dataRow || !only.every((one) => undoable.has(one.type))) return
    this.#saying.messages = this.#model.cancelled(type)
  }

  #logged({ err }: { readonly err?: unknown }): void {
    const theirs = err instanceof ProtocolViolation || err instanceof FrameError
    if (theirs || (this.#isScripted && err instanceof Error && err.constructor.name === 'ServerViolation'))
      return
    this.#faults.push(`the session failed: ${err instanceof Error ? err.stack : String(err)}`)
  }

  async #until(what: string, met: () => boolean): Promise<void> {
    if (await this.#within(boundMs, met)) return
    const state = `${this.#queue.length} messages wait at the server, the client has ${this.#clientWire.messages.slice(-8).join(' ')}`
    this.#faults.push(`the session ${what}: ${state}`)
  }

  /** Whether it comes true before the session has stood still for so long. */
  async #within(ms: number, met: () => boolean): Promise<boolean> {
    let since = performance.now()
    let progress = -1
    for (let turn = 0; !met(); turn++) {
      if (!this.#isScripted) this.#answer(1000, 65_536)
      // What waits for a timer of the gate's is not hurried by turning faster.
      await (turn < 100 ? after(1) : new Promise((resolve) => setTimeout(resolve, 1)))
      const now = this.#serverWire.messages + this.#clientWire.messages.length + this.#trail.entries.length
      if (now !== progress) {
        since = performance.now()
        progress = now
        turn = 0
      } else if (performance.now() - since > ms && turn > turnsMin) return met()
    }
    return true
  }

  #check(): void {
    const { entries, sessionsClosed } = this.#trail
    const fault = (what: string) => void this.#faults.push(what)
    for (const { number, allowed, forwarded, committed, result } of entries) {
      if (!result) fault(`command ${number} has no outcome`)
      else if (!committed && result.outcome === 'ok') fault(`command ${number} is ok and was not recorded`)
      else if (forwarded.size === 0 && allowed && result.outcome === 'ok')
        fault(`command ${number} is ok and was not forwarded`)
    }
    if (sessionsClosed !== 1) fault(`the session was closed ${sessionsClosed} times`)
    const partial = this.#serverWire.partialType
    if (partial !== undefined && partial !== frontend.copyData && partial !== frontend.bind)
      fault(`a message reached the server in part: ${this.#serverWire.partialText}`)
    for (const end of [this.#client, this.#server]) {
      const listeners = end.eventNames().reduce((sum, name) => sum + end.listenerCount(name), 0)
      if (listeners > listenersMax) fault(`${listeners} listeners are left on a socket`)
    }
    this.#compareWithDirect(fault)
  }

  /** Where the gate has said nothing of its own, its client must have had what the server itself would have said. */
  #compareWithDirect(fault: (what: string) => void): void {
    const broken = this.#script.steps.some((step) => 'lost' in step || 'drain' in step)
    const { own, fatal, messages } = this.#clientWire
    if (this.#isScripted || broken || own > 0 || fatal || this.#cancels > 0 || !this.#isFramed()) return
    const direct = new ModelServer()
    const heard = new ClientWire(() => undefined, false)
    for (const { type, bytes } of new MessageReader().read(Buffer.concat(this.#sent))) {
      const said = direct.answer({ type, bytes, recordedAs: [undefined] })
      if (said.length > 0) heard.written(Buffer.concat(said))
    }
    if (direct.broken) fault('the session goes on where a server ends it')
    if (direct.ended || this.#trail.entries.some(({ allowed }) => !allowed)) return
    const [through, straight] = [messages.join(' '), heard.messages.join(' ')]
    if (through !== straight) fault(`answers differ:\n  direct ${straight}\n  gate   ${through}`)
  }
}

/** Of a statement that is cancelled in the middle of its rows nothing else is undone. */
const undoable: ReadonlySet<number> = new Set([
  backend.dataRow,
  backend.commandComplete,
  backend.portalSuspended,
  backend.readyForQuery,
])
