/**
 * What alerts must not forget over a restart, in one file: incidents, how far the bus was read, and what each sink was
 * told. Replaced atomically, so a crash leaves the old or the new. Where it is lost, verdicts still in force are told
 * once more (PagerDuty merges them by dedup key, Slack shows them again) and nothing stays unresolved.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type Incidents, initialIncidents } from './incidents.ts'
import type { Notice, Notices } from './notices.ts'
import { emptyOutbox, type Outbox } from './outbox.ts'

export interface AlertsState {
  readonly incidents: Incidents
  /** Approvals that were told and are not over, by id. */
  readonly notices: Notices
  /** `topic/partition` -> first offset not yet taken. */
  readonly offsets: Map<string, number>
  readonly outboxes: Map<string, Outbox>
}

export interface StateFile {
  readonly state: AlertsState
  /** Why the file could not be used, where there was one; it is kept beside as `.unreadable`. */
  readonly lost: string | undefined
  /** Resolves once all that was in `state` at the time of the call is on disk. */
  save(): Promise<void>
}

export async function openStateFile(file: string): Promise<StateFile> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const { state, lost } = await load(file)
  let writing: Promise<void> | undefined
  let next: Promise<void> | undefined

  async function write(): Promise<void> {
    const temporary = `${file}.new`
    const handle = await open(temporary, 'w', 0o600)
    try {
      await handle.writeFile(stateToJson(state))
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
  }

  /** One write at a time; callers that come during it share the next. */
  function save(): Promise<void> {
    if (next) return next
    const after = (writing ?? Promise.resolve()).catch(() => undefined)
    const mine = after.then(() => {
      next = undefined
      writing = mine
      return write()
    })
    next = mine
    return mine
  }
  return { state, lost, save }
}

export function stateToJson({ incidents, notices, offsets, outboxes }: AlertsState): string {
  return JSON.stringify({
    version,
    open: [...incidents.open.values()],
    recent: [...incidents.recent.values()],
    notices: [...notices.values()],
    offsets: [...offsets],
    outboxes: [...outboxes].map(([sink, outbox]) => [
      sink,
      { ...outbox, pending: [...outbox.pending.values()], told: [...outbox.told] },
    ]),
  })
}

const version = 1

interface Stored {
  readonly version: number
  readonly open: readonly NonNullable<ReturnType<Incidents['open']['get']>>[]
  readonly recent: readonly NonNullable<ReturnType<Incidents['recent']['get']>>[]
  /** Absent where an older version wrote it. */
  readonly notices?: readonly Notice[]
  readonly offsets: readonly [string, number][]
  readonly outboxes: readonly [
    string,
    Omit<Outbox, 'pending' | 'told'> & {
      readonly pending: readonly NonNullable<ReturnType<Outbox['pending']['get']>>[]
      readonly told: readonly [string, string][]
    },
  ][]
}

async function load(file: string): Promise<{ state: AlertsState; lost: string | undefined }> {
  const empty: AlertsState = {
    ...{ incidents: initialIncidents(), notices: new Map() },
    ...{ offsets: new Map(), outboxes: new Map() },
  }
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { state: empty, lost: undefined }
    throw error
  }
  try {
    return { state: stateFromJson(text), lost: undefined }
  } catch (error) {
    await rename(file, `${file}.unreadable`)
    return { state: empty, lost: error instanceof Error ? error.message : String(error) }
  }
}

/** Throws where the text is not a state of this version. */
export function stateFromJson(text: string): AlertsState {
  const stored: Stored = JSON.parse(text)
  if (stored.version !== version)
    throw new Error(`version ${stored.version}, this service reads version ${version}`)
  return {
    incidents: {
      open: new Map(stored.open.map((incident) => [incident.dedupKey, incident])),
      recent: new Map(stored.recent.map((finding) => [finding.findingId, finding])),
    },
    notices: new Map((stored.notices ?? []).map((notice) => [notice.approval.approvalId, notice])),
    offsets: new Map(stored.offsets),
    outboxes: new Map(
      stored.outboxes.map(([sink, outbox]) => [
        sink,
        {
          ...emptyOutbox(),
          ...outbox,
          inFlight: undefined,
          pending: new Map(outbox.pending.map((waiting) => [waiting.alert.dedupKey, waiting])),
          told: new Map(outbox.told),
        },
      ]),
    ),
  }
}
