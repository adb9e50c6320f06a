/**
 * What the audit trail says, held against what others say: the server's own log, its tables, the answers that clients
 * had, and the bus. It repairs nothing and forgives nothing; it returns what contradicts.
 */
import { type Bus, type CommandEvent, type SessionEvent, topics } from '@portcullis/kernel'
import type { AuditStore } from '@portcullis/platform/audit'
import type { Codecs } from '@portcullis/platform/codec'
import { type LinkedEvent, verifyChain } from '@portcullis/platform/recorder'
import { markersOf, type Told } from './clients.ts'

export interface Witnesses {
  /** The server's log, written with `log_statement = all` and `log_line_prefix = '%a|'`. */
  readonly serverLog: string
  /** Markers in the table that the clients wrote to. */
  readonly ledger: readonly string[]
  readonly told: ReadonlyMap<string, Told>
}

export interface TrailFaults {
  /** The server ran it; the trail does not have it. */
  readonly lost: string[]
  /** The trail has it more often than the server ran it, or one command twice. */
  readonly doubled: string[]
  /** The trail says that it ran; the server knows nothing of it. */
  readonly invented: string[]
  /** The trail's outcome is not what the client was answered, or what the server's tables hold. */
  readonly contradicted: string[]
  /** Commands or sessions without an end. */
  readonly open: string[]
}

export interface TrailSummary {
  readonly faults: TrailFaults
  /** Texts with a marker that the server says it ran. */
  readonly ran: number
  /** Rows by outcome. */
  readonly outcomes: Readonly<Record<string, number>>
}

export interface CommandRow {
  readonly command_id: string
  readonly text: string
  readonly stage: string
  readonly phase: string
  readonly outcome: string
  readonly decision_action: string
  readonly decision_reason: string
}

export async function compareTrail(store: AuditStore, witnesses: Witnesses): Promise<TrailSummary> {
  const rows = await store.query<CommandRow>(
    `SELECT command_id, text, stage, phase, outcome, decision_action, decision_reason
     FROM commands WHERE subject LIKE 'chaos/%'`,
  )
  const open = await store.query<{ session_id: string }>(
    "SELECT session_id FROM sessions WHERE phase = 'opened'",
  )
  const summary = judgeTrail(rows, witnesses)
  summary.faults.open.push(...open.map(({ session_id }) => `session ${session_id}`))
  return summary
}

/** The same of rows that are already here. */
export function judgeTrail(rows: readonly CommandRow[], witnesses: Witnesses): TrailSummary {
  const faults: TrailFaults = { lost: [], doubled: [], invented: [], contradicted: [], open: [] }
  const ran = counted(ranTexts(witnesses.serverLog).flatMap(markersOf))
  const recorded = new Map<string, CommandRow[]>()
  const outcomes: Record<string, number> = {}
  const ids = new Set<string>()
  for (const row of rows) {
    if (ids.has(row.command_id)) faults.doubled.push(`${row.command_id}: ${row.text}`)
    ids.add(row.command_id)
    if (row.phase !== 'finished') faults.open.push(`${row.command_id} (${row.phase}): ${row.text}`)
    if (row.outcome === 'refused' && row.decision_reason === '')
      faults.contradicted.push(`refused, nobody says why: ${JSON.stringify(row)}`)
    const outcome = row.outcome === 'refused' ? `refused: ${row.decision_reason}` : row.outcome
    for (const marker of markersOf(row.text)) {
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      recorded.set(marker, [...(recorded.get(marker) ?? []), row])
    }
  }
  for (const [marker, times] of ran) {
    const have = recorded.get(marker)?.filter(({ outcome }) => mayHaveRun.includes(outcome)).length ?? 0
    if (have < times) faults.lost.push(`${marker}: ran ${times} times, recorded ${have} times`)
  }
  for (const [marker, found] of recorded) {
    const times = ran.get(marker) ?? 0
    const text = `${marker}: ran ${times} times, recorded as ${found.map(({ outcome }) => outcome).join(', ')}`
    if (found.length > Math.max(1, times)) faults.doubled.push(text)
    if (found.filter(({ outcome }) => saysItRan.includes(outcome)).length > times) faults.invented.push(text)
  }
  for (const marker of witnesses.ledger) {
    const said = recorded.get(marker)?.map(({ outcome }) => outcome) ?? []
    if (!said.some((outcome) => outcome === 'ok' || outcome === 'unknown'))
      faults.contradicted.push(
        `${marker} is in the server's table; the trail says ${said.join(', ') || 'nothing'}`,
      )
  }
  for (const [marker, answer] of witnesses.told) {
    if (answer === 'lost') continue
    const said = recorded.get(marker)?.map(({ outcome }) => outcome) ?? []
    if (!said.some((outcome) => agrees[answer].includes(outcome)))
      faults.contradicted.push(
        `${marker}: the client was told ${answer}, the trail says ${said.join(', ') || 'nothing'}`,
      )
  }
  return { faults, ran: ran.size, outcomes }
}

/**
 * Every recorder's events, on the bus and in ClickHouse: numbers without a gap, hashes that follow one another, and the
 * same events in both places.
 */
export async function compareChains(
  store: AuditStore,
  bus: Bus,
  codecs: Codecs,
): Promise<{ faults: string[]; recorders: number; events: number }> {
  const faults: string[] = []
  const published = new Map<string, LinkedEvent>()
  await readAll(bus, codecs, (linked) => {
    const { recorder, seq, hash } = linked.event.link
    published.set(`${recorder} ${seq} ${Buffer.from(hash).toString('hex')}`, linked)
  })
  for (const { recorder, seq, fault } of verifyChain(published.values(), codecs))
    faults.push(`on the bus: ${recorder} ${seq}: ${fault}`)

  const rows = await store.query<{ recorder: string; seq: number; prev_hash: string; hash: string }>(
    'SELECT recorder, seq, prev_hash, hash FROM record_chain ORDER BY recorder, seq',
  )
  let before: (typeof rows)[number] | undefined
  const recorders = new Set<string>()
  for (const row of rows) {
    recorders.add(row.recorder)
    const { recorder, seq, prev_hash, hash } = row
    const isFirst = before?.recorder !== recorder
    const expected = isFirst
      ? { seq: 1, hash: '0'.repeat(64) }
      : { seq: Number(before?.seq) + 1, hash: before?.hash }
    if (seq !== expected.seq)
      faults.push(`in ClickHouse: ${recorder} has ${seq} where ${expected.seq} is next`)
    else if (prev_hash !== expected.hash) faults.push(`in ClickHouse: ${recorder} ${seq} does not follow`)
    if (!published.delete(`${recorder} ${seq} ${hash}`))
      faults.push(`in ClickHouse, not on the bus: ${recorder} ${seq}`)
    before = row
  }
  for (const key of published.keys()) faults.push(`on the bus, not in ClickHouse: ${key}`)
  return { faults, recorders: recorders.size, events: rows.length }
}

/** Whether everything that stands on the bus was projected. */
export async function isProjected(store: AuditStore, bus: Bus): Promise<boolean> {
  const rows = await store.query<{ topic: string; partition: number; next: number }>(
    'SELECT topic, partition, max(next_offset) AS next FROM projector_progress GROUP BY topic, partition',
  )
  for (const topic of [topics.sessions, topics.commands, topics.findings, topics.verdicts])
    for (const [partition, end] of await bus.endOffsets(topic)) {
      const row = rows.find((one) => one.topic === topic && one.partition === partition)
      if ((row?.next ?? 0) < end) return false
    }
  return true
}

const mayHaveRun: readonly string[] = ['ok', 'error', 'cut', 'cancelled', 'unknown']
const saysItRan: readonly string[] = ['ok', 'error', 'cut']
/** What the trail may say of what a client was told: a gate killed between the answer and its note of it cannot know. */
const agrees = {
  ok: ['ok', 'unknown'],
  error: ['error', 'unknown', 'refused', 'skipped', 'cancelled'],
}

/** `statement: TEXT` or `execute NAME: TEXT` of clients of ours; continuation lines are indented. */
function ranTexts(log: string): string[] {
  return log.split(/\n(?!\t)/).flatMap((entry) => {
    const match = /^chaos-\d+\|LOG:\s+(?:statement|execute [^:]+): ([\s\S]*)$/.exec(entry)
    return match?.[1] === undefined ? [] : [match[1]]
  })
}

function counted(markers: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const marker of markers) counts.set(marker, (counts.get(marker) ?? 0) + 1)
  return counts
}

async function readAll(bus: Bus, codecs: Codecs, onEvent: (linked: LinkedEvent) => void): Promise<void> {
  const caughtUp = Promise.withResolvers<void>()
  const tail = await bus.tail({
    topics: [topics.sessions, topics.commands],
    from: 'earliest',
    onBatch(records) {
      for (const { topic, value } of records) {
        if (value === null) continue
        if (topic === topics.sessions) {
          const event: SessionEvent = codecs.session.decode(value)
          onEvent({ kind: 'session', event })
        } else {
          const event: CommandEvent = codecs.command.decode(value)
          onEvent({ kind: 'command', event })
        }
      }
    },
    onCaughtUp: () => caughtUp.resolve(),
  })
  await caughtUp.promise
  await tail.stop()
}
