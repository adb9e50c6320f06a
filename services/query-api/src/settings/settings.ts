/**
 * Settings by the API: read, put, removed. What the file names is the file's and is refused here, since two sources must never
 * mix in one object; what is put again as it is writes nothing, so that a tool may say the same thing every minute.
 */
import type { ControlState } from '@portcullis/kernel'
import type { ControlLog } from '@portcullis/platform/control'
import type { Caller } from '../auth.ts'
import { invalid } from '../input.ts'
import { conditioned, expectedVersion, type Precondition } from '../precondition.ts'
import { ApiError } from '../problems.ts'
import type { Content, SettingKind } from './kinds.ts'

export interface Setting {
  readonly id: string
  readonly source: 'file' | 'api'
  /** Of the log; undefined for what is the file's alone. */
  readonly version: number | undefined
  readonly changedAt: number | undefined
  readonly changedBy: string | undefined
  /** The API has one of this name too, which is not in force. */
  readonly shadows: boolean
  readonly content: Content
}

export interface PutResult {
  readonly outcome: 'created' | 'changed' | 'unchanged'
  /** Of what stands now, or where nothing was written what would. */
  readonly version: number
}

export interface Settings {
  /** By id. */
  list(): Setting[]
  /** @throws ApiError not_found */
  get(id: string): Setting
  /** `dry`: say what would be wrong with it, and write nothing. @throws ApiError, ControlError */
  put(id: string, content: Content, options: PutOptions): Promise<PutResult>
  /** @throws ApiError, ControlError */
  remove(id: string, reason: string, options: RemoveOptions): Promise<void>
}

export interface PutOptions {
  readonly caller: Pick<Caller, 'actor'>
  readonly condition: Precondition
  readonly dry: boolean
}

export interface RemoveOptions extends Omit<PutOptions, 'dry'> {
  /** Whoever asks knows what it opens. */
  readonly open: boolean
}

export function createSettings(
  kind: SettingKind,
  control: Pick<ControlLog, 'state' | 'caughtUp' | 'write'>,
): Settings {
  const state = (): ControlState => {
    if (control.caughtUp()) return control.state()
    throw new ApiError('control_unavailable', 'The control log is still being read.', { retryAfterSec: 2 })
  }
  const versionOf = (id: string) => state().versions.get(kind.aggregate(id)) ?? 0

  function list(): Setting[] {
    const stored = kind.fromLog(state())
    const ofFile = Array.from(kind.fromFile, ([id, content]): Setting => {
      const none = { version: undefined, changedAt: undefined, changedBy: undefined }
      return { id, source: 'file', ...none, shadows: stored.has(id), content }
    })
    const ofApi = Array.from(stored).flatMap(([id, { mark, content }]): Setting[] => {
      const { changedAt, changedBy } = mark
      const version = versionOf(id)
      const setting = { id, version, changedAt, changedBy, content }
      return kind.fromFile.has(id) ? [] : [{ ...setting, source: 'api', shadows: false }]
    })
    return [...ofFile, ...ofApi].sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  return {
    list,
    get(id) {
      const found = list().find((one) => one.id === id)
      if (found) return found
      throw new ApiError('not_found', `There is no ${kind.what} of this name.`)
    },
    async put(id, content, { caller, condition, dry }) {
      if (kind.fromFile.has(id)) throw managed(kind)
      const problems = kind.check(id, content, state())
      if (problems && problems.length > 0)
        throw invalid(
          problems.map(({ path, message }) => ({ in: 'body', field: path.map(String).join('.'), message })),
        )
      const kept = kind.kept(content)
      const before = kind.fromLog(state()).get(id)
      const version = versionOf(id)
      const expected = expectedVersion(condition, { exists: before !== undefined, aggregateVersion: version })
      if (before && JSON.stringify(before.content) === JSON.stringify(kept))
        return { outcome: 'unchanged', version }
      const outcome = before ? 'changed' : 'created'
      if (dry) return { outcome, version: version + 1 }
      const written = await conditioned(
        control.write(kind.put(id, kept), caller.actor, { expectedVersion: expected }),
      )
      return { outcome, version: written.version }
    },
    async remove(id, reason, { caller, condition, open }) {
      const exists = kind.fromLog(state()).has(id)
      if (!exists && kind.fromFile.has(id)) throw managed(kind)
      if (!exists) throw new ApiError('not_found', `There is no ${kind.what} of this name.`)
      const expected = expectedVersion(condition, { exists, aggregateVersion: versionOf(id) })
      const opened = open ? undefined : kind.opens?.(id, state())
      if (opened !== undefined) throw new ApiError('in_use', opened)
      await conditioned(
        control.write(kind.remove(id, reason, open), caller.actor, { expectedVersion: expected }),
      )
    },
  }
}

function managed({ what }: SettingKind): ApiError {
  return new ApiError(
    'managed',
    `This ${what} is managed by the configuration file: change it there, or take it out there first.`,
  )
}
