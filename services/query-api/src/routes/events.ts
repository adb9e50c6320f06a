/**
 * Live events as server-sent events (WHATWG HTML, 9.2). Who reads too slowly is told so and cut off, and can come back
 * with Last-Event-ID; who lost some is told that too. A stream ends with its token, and where its reader is revoked.
 */
import { identityKey } from '@portcullis/kernel'
import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import type { Register } from '../endpoint.ts'
import { identityKeyText, repeated } from '../input.ts'
import { type Feed, type LiveEvent, type LiveType, liveTypes } from '../live/feed.ts'
import { ApiError } from '../problems.ts'
import type { IsStopped } from '../stopped.ts'

export interface EventStreamOptions {
  readonly feed: Feed
  readonly nowUs: () => number
  /** Asked each second of whoever has a stream open. */
  readonly isStopped: IsStopped
  /** Bytes that may wait for a reader before it is cut off; default 1 MiB. */
  readonly bufferedBytesMax?: number
  /** Between two signs of life; default 15 000. */
  readonly heartbeatMs?: number
  /** Streams at once; default 200. */
  readonly streamsMax?: number
  /** Of one caller, so that nobody watches in place of all others; default 20. */
  readonly streamsPerCallerMax?: number
  /** Ends all streams when the service stops. */
  readonly stopping: AbortSignal
}

const query = z.strictObject({
  type: repeated(z.enum(liveTypes)).optional().describe('Only these; all by default.'),
  identity: identityKeyText.optional().describe('Only of this identity key.'),
})

export function eventRoutes(register: Register, options: EventStreamOptions): void {
  const { feed, nowUs, isStopped, heartbeatMs = 15_000 } = options
  const { streamsMax = 200, streamsPerCallerMax = 20 } = options
  const openBy = new Map<string, number>()
  register({
    method: 'GET',
    url: '/v1/events',
    tag: 'live',
    summary: 'Live commands, findings, verdicts, approvals and control changes',
    description:
      'Server-sent events; `event` is command, finding, verdict, approval or control and `data` its JSON. A verdict that a person issued or lifted comes as `verdict` too (`state` says which) after its `control`, and each step of an approval as `approval`. Last-Event-ID resumes where that event is still remembered; otherwise `gap` comes first. `overflow` (you read too slowly), `expired` (your token ended), `revoked` (you are stopped) and `stopping` come last: connect again. The audit trail, not this stream, is what is complete.',
    role: 'viewer',
    query,
    answer: { status: 200, schema: z.string(), mediaType: 'text/event-stream' },
    async handle({ query: { type, identity }, caller, request, reply }) {
      if (feed.subscribers >= streamsMax)
        throw new ApiError('overloaded', 'Too many live streams are open.', { retryAfterSec: 10 })
      const by = identityKey(caller.actor)
      const own = openBy.get(by) ?? 0
      if (own >= streamsPerCallerMax)
        throw new ApiError('overloaded', `You have ${own} live streams open: close one.`, {
          retryAfterSec: 10,
        })
      const lastId = request.headers['last-event-id']
      const stream = openStream(reply, options)
      const filter = { types: new Set<LiveType>(type ?? liveTypes), identity }
      const early: LiveEvent[] = []
      let opened = false
      const { resumed, stop } = feed.subscribe(
        filter,
        typeof lastId === 'string' ? lastId : undefined,
        (event) => {
          if (opened) stream.send(event.type, event.data(), event.id)
          else early.push(event)
        },
      )
      openBy.set(by, own + 1)
      stream.onEnd(() => {
        stop()
        const left = (openBy.get(by) ?? 1) - 1
        if (left === 0) openBy.delete(by)
        else openBy.set(by, left)
      })
      if (!resumed)
        stream.send('gap', '{"detail":"Some events may be missing here; the audit trail has them."}')
      for (const event of early) stream.send(event.type, event.data(), event.id)
      opened = true
      stream.every(heartbeatMs, () => stream.comment('alive'))
      stream.every(stoppedEveryMs, () => {
        if (isStopped(caller)) stream.end('revoked', '{"detail":"You are stopped by a verdict."}')
        else if (caller.isOver()) stream.end('expired', '{"detail":"You signed out; sign in again."}')
      })
      if (caller.expiresAtUs !== undefined)
        stream.after((caller.expiresAtUs - nowUs()) / 1000, () =>
          stream.end('expired', '{"detail":"Your token has ended; connect again with a new one."}'),
        )
    },
  })
}

const lastWordMs = 5_000
/** A revocation is to be felt within 2 s. */
const stoppedEveryMs = 1_000

function openStream(reply: FastifyReply, { bufferedBytesMax = 1_048_576, stopping }: EventStreamOptions) {
  reply.hijack()
  const { raw } = reply
  const timers: NodeJS.Timeout[] = []
  const atEnd: (() => void)[] = []
  let over = false
  raw.writeHead(200, {
    ...Object.fromEntries(Object.entries(reply.getHeaders()).filter(([name]) => name !== 'content-length')),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  raw.write('retry: 2000\n\n')

  function frame(event: string, data: string, id?: string): string {
    return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${data}\n\n`
  }
  function finish(): void {
    over = true
    stopping.removeEventListener('abort', onStop)
    for (const timer of timers.splice(0)) clearTimeout(timer)
    for (const act of atEnd.splice(0)) act()
  }
  function end(event: string, data: string): void {
    if (over) return
    raw.end(frame(event, data))
    finish()
    // It may never read that last word.
    const timer = setTimeout(() => raw.destroy(), lastWordMs).unref()
    raw.once('close', () => clearTimeout(timer))
  }
  const onStop = () => end('stopping', '{"detail":"This replica is stopping; connect again."}')
  stopping.addEventListener('abort', onStop, { once: true })
  raw.once('close', finish)
  if (stopping.aborted) onStop()

  return {
    send(event: string, data: string, id?: string): void {
      if (over) return
      raw.write(frame(event, data, id))
      if (raw.writableLength > bufferedBytesMax)
        end('overflow', '{"detail":"You read too slowly; connect again, with a filter or Last-Event-ID."}')
    },
    comment(text: string): void {
      if (!over) raw.write(`: ${text}\n\n`)
    },
    end,
    onEnd(act: () => void): void {
      if (over) act()
      else atEnd.push(act)
    },
    every(ms: number, act: () => void): void {
      if (!over) timers.push(setInterval(act, ms))
    },
    after(ms: number, act: () => void): void {
      // Beyond this a timer would fire at once; nobody holds a stream for 24 days.
      if (!over) timers.push(setTimeout(act, Math.min(Math.max(ms, 0), 2_147_483_647)))
    },
  }
}
