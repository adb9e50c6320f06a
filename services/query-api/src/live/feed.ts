/**
 * The live view: what comes over the bus, fanned out to those who watch. It keeps the latest events for those who come
 * back, and never lets one slow reader hold memory or the others: who falls behind is told and sent away. Best effort
 * by design: the audit trail is what is complete.
 */
import {
  type Approval,
  type CommandEvent,
  type ControlEvent,
  type FindingEvent,
  identityKey,
  type VerdictEvent,
  verdictKey,
} from '@portcullis/kernel'
import { approvalRow } from '../approvals/row.ts'
import { isoMicros, isoMicrosOrNull } from '../time.ts'
import { type Lifting, verdictRow } from '../verdicts.ts'

export const liveTypes = ['command', 'finding', 'verdict', 'approval', 'control'] as const
export type LiveType = (typeof liveTypes)[number]

export interface LiveEvent {
  readonly id: string
  readonly type: LiveType
  /** Identity key it is about, empty where it is about no one identity. */
  readonly identity: string
  /** JSON; made once, when someone wants it. */
  readonly data: () => string
}

export interface LiveFilter {
  readonly types: ReadonlySet<LiveType>
  readonly identity: string | undefined
}

export interface Feed {
  publish(event: LiveEvent): void
  /** Hands over what came after `lastId` (where it is still known), then whatever comes. */
  subscribe(filter: LiveFilter, lastId: string | undefined, sink: (event: LiveEvent) => void): Subscription
  readonly subscribers: number
}

export interface Subscription {
  /** False where `lastId` is not among the events kept: some may have been missed. */
  readonly resumed: boolean
  stop(): void
}

export function createFeed(eventsMax = 2_000): Feed {
  const kept: LiveEvent[] = []
  const subscribers = new Set<(event: LiveEvent) => void>()
  return {
    get subscribers() {
      return subscribers.size
    },
    publish(event) {
      kept.push(event)
      if (kept.length > eventsMax * 2) kept.splice(0, kept.length - eventsMax)
      for (const subscriber of subscribers) subscriber(event)
    },
    subscribe({ types, identity }, lastId, sink) {
      const subscriber = (event: LiveEvent) => {
        if (types.has(event.type) && (identity === undefined || identity === event.identity)) sink(event)
      }
      const at = lastId === undefined ? -1 : kept.findLastIndex(({ id }) => id === lastId)
      subscribers.add(subscriber)
      if (at >= 0) for (const event of kept.slice(at + 1)) subscriber(event)
      return { resumed: lastId === undefined || at >= 0, stop: () => subscribers.delete(subscriber) }
    },
  }
}

export function commandEvent(id: string, event: CommandEvent): LiveEvent {
  const identity = identityKey(event.identity)
  return {
    id,
    type: 'command',
    identity,
    data: lazily({
      commandId: event.commandId,
      phase: event.phase,
      sessionId: event.sessionId,
      identity,
      issuer: event.identity.issuer,
      subject: event.identity.subject,
      instance: event.identity.instance,
      task: event.identity.task,
      target: event.target,
      protocol: event.protocol,
      country: event.origin.country,
      verb: event.verb,
      effects: event.effects,
      privileged: event.privileged,
      text: shortened(event.text),
      textTruncated: event.text.length > textCharsMax,
      decision: { ...event.decision, delayUs: String(event.decision.delayUs) },
      outcome: event.outcome,
      errorCode: event.errorCode,
      tag: event.tag,
      rowsOut: String(event.rowsOut),
      bytesOut: String(event.bytesOut),
      startedAt: isoMicros(event.startedAt),
      durationUs: String(event.durationUs),
    }),
  }
}

export function findingEvent(id: string, event: FindingEvent): LiveEvent {
  const identity = identityKey(event.identity)
  const { at, windowStart, windowEnd, ...rest } = event
  return {
    id,
    type: 'finding',
    identity,
    data: lazily({
      ...rest,
      identity,
      issuer: event.identity.issuer,
      subject: event.identity.subject,
      at: isoMicros(at),
      windowStart: isoMicrosOrNull(windowStart),
      windowEnd: isoMicrosOrNull(windowEnd),
    }),
  }
}

/** As the lists of verdicts show it. */
export function verdictEvent(id: string, event: VerdictEvent, lifted: Lifting | undefined): LiveEvent {
  return { id, type: 'verdict', identity: subjectIdentity(event), data: lazily(verdictRow(event, lifted)) }
}

/** As the lists of approvals show it, but for a long text, of which the beginning. */
export function approvalEvent(id: string, approval: Approval, nowUs: number): LiveEvent {
  const row = approvalRow(approval, nowUs)
  const textTruncated = row.text.length > textCharsMax
  return {
    id,
    type: 'approval',
    identity: row.identity,
    data: lazily({ ...row, values: row.values.slice(0, 20), text: shortened(row.text), textTruncated }),
  }
}

/** `payload` is shown to no viewer: other kinds of control events may hold more than verdicts do. */
export function controlEvent(id: string, event: ControlEvent, accepted: boolean): LiveEvent {
  const { eventId, aggregateId, type, actor } = event
  return {
    id,
    type: 'control',
    identity: '',
    data: lazily({ eventId, aggregateId, type, actor, at: isoMicros(event.at), accepted }),
  }
}

/** Of a verdict on an identity or one running copy of it. */
function subjectIdentity({ subject }: VerdictEvent): string {
  return subject.kind === 'identity' || subject.kind === 'instance'
    ? identityKey({ issuer: subject.issuer, subject: subject.id })
    : verdictKey(subject)
}

const textCharsMax = 4_000

/** A copy of its own: a slice would keep the whole text, however long, for as long as the event is remembered. */
function shortened(text: string): string {
  return text.length <= textCharsMax ? text : Buffer.from(text.slice(0, textCharsMax)).toString('utf8')
}

/** `fields` are few and small: thousands of them are kept, most of which nobody will ever ask for. */
function lazily(fields: object): () => string {
  let text: string | undefined
  return () => {
    text ??= JSON.stringify(fields)
    return text
  }
}
