/**
 * One session after its start-up: two sockets, the gate between them. This is the only module that writes to both; what
 * is written it gets from `requests` and `answers`, and it moves no byte that these did not hand it.
 *
 * Back-pressure: a slow client pauses the server's socket, a slow server (or the gate) pauses the client's. A client that is
 * gone meanwhile is found by vanished.ts.
 */
import {
  type Clock,
  type Hold,
  type Refusal,
  type Session,
  SessionEnded,
  type TimeoutReason,
} from '@portcullis/kernel'
import type { Keyed } from '@portcullis/masking'
import { ServerViolation } from './answer-rules.ts'
import { Answers } from './answers.ts'
import { fatalMessage, refusalMessage } from './deny.ts'
import { FrameError } from './frames.ts'
import { Ledger } from './ledger.ts'
import { Output } from './output.ts'
import type { ReadText } from './read-text.ts'
import { altersOwnRole, ProtocolViolation } from './request-rules.ts'
import { Requests } from './requests.ts'
import type { ReusingSource } from './reused-reads.ts'
import type { Scrub } from './scrub.ts'
import { type Doing, startTimeouts } from './timeouts.ts'
import type { Upstream } from './upstream.ts'
import { rowEstimateOf } from './row-estimate.ts'
import { createProbe } from './vanished.ts'
import { backend, fieldsMessage } from './wire.ts'

export interface RelayParts {
  readonly client: ReusingSource
  /** What had been read from the client too far. */
  readonly early: Buffer
  readonly upstream: Pick<Upstream, 'source' | 'status' | 'cancel' | 'drop'>
  /** The server's own, as the client was told. */
  readonly settings: Upstream['parameters']
  readonly session: Session
  readonly scrub: Scrub
  readonly readText: ReadText
  readonly keyed?: Keyed | undefined
  readonly clock: Clock
  readonly statementBytesMax: number
  readonly log: { warn(fields: object, message: string): void }
}

export interface Relay {
  /** The client's CancelRequest has come. */
  cancel(): void
  /** Resolves once both sides are closed. */
  readonly over: Promise<Ending>
}

/** Why a session ended: in words, and the refusal where it was one. */
export interface Ending {
  readonly detail: string
  readonly by?: Refusal | undefined
}

const saidGoodbye = 'the client said goodbye'
/** How long a side that does not read may hold up its own goodbye. */
const goodbyeMsMax = 2000

export function startRelay(parts: RelayParts): Relay {
  // One by one: what holds `parts` would hold what is needed only at the beginning, too.
  const { client: clientSource, upstream, session, scrub, readText, clock, log, early } = parts
  const client = clientSource.socket
  const server = upstream.source.socket
  const ledger = new Ledger(session)
  const toClient = new Output()
  const over = Promise.withResolvers<Ending>()
  let passing = false
  /** What came while another service is asked for what is in the chunk before. */
  let behind: Buffer[] | undefined
  let cancelAsked = false
  let draining: Refusal | undefined
  /** What waits for a person. */
  let hold: Hold | undefined
  let leaving = false
  let lateCut: NodeJS.Timeout | undefined
  let ended = false

  const requests: Requests = new Requests({
    ledger,
    readText,
    clock,
    statementBytesMax: parts.statementBytesMax,
    objection: (analyses) =>
      altersOwnRole(analyses, session.target.credentials.user) ? 'gate_credentials' : undefined,
    estimate: (analyses, values) =>
      rowEstimateOf({ access: session.target, searchPath: readText.searchPath }, analyses, values),
    asksRows: () => session.asksRows(),
    isMasking: () => session.isMasking(),
    clientAtBoundary: () => answers.atBoundary,
    status: () => answers.status,
    answer: (messages) => {
      for (const message of messages) toClient.add(message)
      flushToClient()
    },
    forward: (output) => {
      if (!output.flush(server)) holdClient()
    },
    isTimed: session.target.timeouts.statementMs !== undefined,
    leaving: () => {
      leaving = true
    },
    notice,
    holding,
  })
  const answers: Answers = new Answers(
    {
      ledger,
      requests,
      output: toClient,
      scrub,
      unasked: session.unasked,
      masking: {
        keyed: parts.keyed,
        columnAt: readText.columnAt,
        typeOf: readText.typeOf,
        isAsciiSafe: readText.isAsciiSafe,
        unmaskable: (rule, detail) => session.unmaskable(rule, detail),
      },
      cancelAsked: () => cancelAsked,
      cancelUpstream: (arrived) =>
        void upstream.cancel().then(() =>
          guarded(() => {
            arrived()
            flushToClient()
            goOn()
          }),
        ),
      setting: (name, value) => readText.setting(name, value),
      ready: () => {
        if (!ledger.idle) return
        cancelAsked = false
        readText.sure()
      },
    },
    upstream.status,
  )

  const timeouts = startTimeouts(session.target.timeouts, clock, doing, (reason) =>
    guarded(() => timedOut(reason)),
  )

  const probe = createProbe(client, parts.settings, () => answers.atBoundary)

  clientSource.listen((chunk) => guarded(() => fromClient(chunk)))
  client.on('drain', () => {
    if (!behind) {
      upstream.source.release()
      server.resume()
    }
    guarded(goOn)
  })
  client.on('close', () => finish(leaving ? saidGoodbye : 'the client is gone', 'cancelled', undefined))
  upstream.source.listen((chunk) => guarded(() => fromServer(chunk)))
  server.on('drain', () => {
    releaseClient()
    guarded(goOn)
  })
  server.on('close', () => lostServer())
  session.onOrder({
    kill: (refusal) => end(refusal, 'killed'),
    cancelRunning: (refusal) => guarded(() => cut(refusal)),
    drain: (refusal) => {
      draining = refusal
      hold?.end('draining')
      drainIfIdle()
    },
    running: () => {
      const run = ledger.underWay
      return run && !run.done ? { command: run.command, progress: run } : undefined
    },
  })
  timeouts?.note()
  client.resume()
  server.resume()
  // Bound: a closure would have every other one hold these bytes, and the 64 KiB that they are a part of.
  if (early.length > 0) guarded(fromClient.bind(undefined, early))
  // Who left while the target was dialled has said so already.
  if (client.destroyed) finish('the client is gone', 'cancelled', undefined)

  function fromClient(chunk: Buffer): void {
    releaseClient()
    requests.feed(chunk)
    pump()
    // What waits for the gate or for the server's socket still lies in that chunk.
    if (passing || requests.inputLeft || server.writableLength > 0) clientSource.keep()
  }

  function releaseClient(): void {
    if (!passing && !requests.inputLeft && server.writableLength === 0) clientSource.release()
  }

  /** Lets the gate take what it can of the input; while it waits nothing more is read from the client. */
  function pump(): void {
    const waiting = session.pass(requests)
    if (waiting) {
      passing = true
      holdClient()
      waiting.then(
        () => {
          passing = false
          guarded(goOn)
          if (draining) drainIfIdle()
        },
        (error) => fail(error),
      )
      return
    }
    // A client that does not read its refusals gets no more of them.
    if (requests.blocked || client.writableNeedDrain) holdClient()
  }

  function holdClient(): void {
    client.pause()
    probe.paused()
  }

  /** Something has changed that the client's input may have waited for. */
  function goOn(): void {
    if (ended || passing) return
    if (requests.inputLeft) pump()
    if (!passing && !requests.blocked && !server.writableNeedDrain && !client.writableNeedDrain)
      client.resume()
  }

  function fromServer(chunk: Buffer): void {
    if (behind) {
      behind.push(Buffer.from(chunk))
      return
    }
    if (client.writableLength === 0) upstream.source.release()
    const asked = answers.feed(chunk)
    flushToClient()
    if (asked) return holdServer(asked)
    passed()
  }

  /** Nothing more is read from the server until it is known what the client may see of this chunk. */
  function holdServer(asked: Promise<void>): void {
    behind = []
    server.pause()
    upstream.source.keep()
    asked.then(
      () =>
        guarded(() => {
          const [next, ...more] = behind ?? []
          behind = undefined
          flushToClient()
          passed()
          if (next) fromServer(next)
          for (const one of more) fromServer(one)
          if (!behind && !ended && !client.writableNeedDrain) server.resume()
        }),
      (error) => fail(error),
    )
  }

  /** A chunk was read and what the client gets of it is on its way. */
  function passed(): void {
    // What the client's socket has not passed on yet still lies in that chunk.
    if (client.writableLength > 0) upstream.source.keep()
    // A driver that reads the server's last words finds the connection closed behind them.
    if (answers.saidGoodbye) return lostServer()
    if (client.isPaused()) goOn()
    if (draining) drainIfIdle()
  }

  function flushToClient(): void {
    if (!toClient.flush(client) && !answers.swallows) server.pause()
  }

  function notice(reason: string, waitMs: number): void {
    if (waitMs < 250 || !ledger.idle || !answers.atBoundary) return
    const text = `portcullis: ${reason === 'cap_commands' ? 'commands come too fast' : 'throttled'}; this one waits ${Math.ceil(waitMs)} ms`
    toClient.add(
      fieldsMessage(backend.notice, { S: 'NOTICE', V: 'NOTICE', C: '00000', M: text, D: `reason=${reason}` }),
    )
    flushToClient()
  }

  /** Also what keeps the connection from looking idle to whoever is between. */
  function holding(now: Hold | undefined): void {
    hold = now
    if (draining) hold?.end('draining')
    if (ended || !hold || !answers.atBoundary) return
    toClient.add(holdNotice(hold))
    flushToClient()
  }

  function cancel(): void {
    hold?.end('cancelled')
    if (ended || requests.cancelling || !requests.serverBusy) return
    cancelAsked = true
    requests.cancelling = true
    void upstream.cancel().then(() => {
      requests.cancelling = false
      guarded(goOn)
    })
  }

  /** What the session's time is spent on: all that leads to an execution is one statement. */
  function doing(): Doing {
    if (hold) return undefined
    const { head } = ledger
    if (head) return ledger.underWay ?? head
    if (passing) return undefined
    return requests.quiet && answers.status === 'I' ? 'idle' : 'idle in transaction'
  }

  function timedOut(reason: TimeoutReason): void {
    const refusal = session.timedOut(reason)
    if (reason === 'statement_timeout') cut(refusal)
    else end(refusal, refusal.message)
  }

  /** A client that does not read does not hold it up, and a server that does not listen ends the session. */
  function cut(refusal: Refusal): void {
    if (!answers.cut(refusal)) return
    if (answers.swallows && !behind) server.resume()
    clearTimeout(lateCut)
    lateCut = setTimeout(() => {
      if (answers.isCutting(refusal)) end(refusal, `${refusal.message}; the target did not stop it`)
    }, session.target.connectTimeoutMs)
  }

  function drainIfIdle(): void {
    if (draining && requests.quiet && !passing && answers.status === 'I' && answers.atBoundary)
      end(draining, 'the proxy is stopping')
  }

  function lostServer(): void {
    if (ended) return
    if (!ledger.idle && !leaving && !answers.saidGoodbye)
      tell(fatalMessage('08006', `target "${session.target.name}" ended the connection`))
    finish(leaving ? saidGoodbye : 'the target ended the connection', 'unknown', undefined)
  }

  function guarded(work: () => void): void {
    if (ended) return
    try {
      work()
    } catch (error) {
      return fail(error)
    }
    if (!ended) timeouts?.note()
  }

  function fail(error: unknown): void {
    if (ended) return
    if (error instanceof SessionEnded) return end(error.refusal, error.message)
    const theirs = error instanceof ProtocolViolation || error instanceof FrameError
    const sqlstate = theirs ? '08P01' : 'XX000'
    const text =
      theirs || error instanceof ServerViolation
        ? (error as Error).message
        : 'internal error; the operators have been told'
    log.warn({ err: error, session: session.id }, 'session failed')
    tell(fatalMessage(sqlstate, text))
    finish(`failed: ${text}`, 'unknown', undefined)
  }

  function end(refusal: Refusal, detail: string): void {
    if (ended) return
    tell(refusalMessage(refusal, 'FATAL'))
    finish(detail, 'cut', refusal)
  }

  /** The last words, behind what had its place: in the middle of a message they would be taken for its bytes. */
  function tell(fatal: Buffer): void {
    toClient.flush(client)
    if (!answers.midMessage) client.write(fatal)
  }

  /** Cancel what runs, then close both sides. */
  function finish(
    detail: string,
    runningOutcome: 'cancelled' | 'cut' | 'unknown',
    by: Refusal | undefined,
  ): void {
    if (ended) return
    ended = true
    requests.over = true
    timeouts?.stop()
    probe.stop()
    clearTimeout(lateCut)
    // What is still on its way to a side that reads slowly must not be overwritten by what the other sends meanwhile.
    if (client.writableLength > 0) upstream.source.keep()
    if (server.writableLength > 0) clientSource.keep()
    const busy = !ledger.idle && !server.destroyed && !answers.saidGoodbye
    const isPipelined = ledger.owesBeyondReady
    ledger.abandon(runningOutcome, by)
    for (const run of requests.statements.closeBatch()) ledger.finish(run, 'unknown')
    if (client.writable) client.end()
    const late = setTimeout(() => client.destroy(), goodbyeMsMax)
    client.once('close', () => clearTimeout(late))
    if (client.destroyed) clearTimeout(late)
    const close = () => {
      // An idle backend leaves at once when its connection ends; Terminate keeps its log clean. In the middle of a
      // message it would be taken for the bytes that are missing.
      if (requests.midMessage || answers.saidGoodbye || !server.writable) server.destroy()
      else server.end(goodbye, () => server.destroy())
      over.resolve({ detail, by })
    }
    const drop = async () => {
      await upstream.cancel()
      upstream.drop()
      // What was pipelined behind it may have begun in between.
      if (isPipelined) await upstream.cancel()
      over.resolve({ detail, by })
    }
    if (busy) void drop()
    else close()
  }

  return { cancel, over: over.promise }
}

function holdNotice({ approvalId, link, by, waitMs }: Hold): Buffer {
  return fieldsMessage(backend.notice, {
    ...{ S: 'NOTICE', V: 'NOTICE', C: '00000' },
    M: `portcullis: this waits for the approval of a person, for ${Math.ceil(waitMs / 1000)} s at most`,
    D: `reason=policy_hold approval=${approvalId} by=${by}`,
    ...(link && { H: link }),
  })
}

/** Terminate. */
const goodbye = Buffer.from([0x58, 0, 0, 0, 4])
