/**
 * Secrets sealed in the control log: put, removed, sealed anew under another master key. A value comes in and never goes out:
 * it is in no answer, no log line and no event, only in what the sealer made of it.
 */
import { type ControlEvent, secretAggregate, type SealedSecret } from '@portcullis/kernel'
import type { TargetConfig } from '@portcullis/config'
import { aimsWithin } from '@portcullis/config/secret-aims'
import { ControlError, type ControlLog } from '@portcullis/platform/control'
import type { Log } from '@portcullis/platform/service'
import { masterKeyOf, type SealContext, type Sealer, Secret, VaultError } from '@portcullis/vault'
import type { Caller } from '../auth.ts'
import { expectedVersion, type Precondition } from '../precondition.ts'
import { ApiError } from '../problems.ts'
import { sealedIn } from './kinds.ts'

export interface ShownSecret {
  readonly name: string
  readonly version: number
  readonly sealedAt: number
  readonly sealedBy: string
  /** Id of the master key that holds it; empty where what stands there is nothing that was sealed. */
  readonly keyId: string
  /** Whether another master key would hold what is sealed now; undefined where none is configured here. */
  readonly isOld: boolean | undefined
  /** Where targets of the API may send it; undefined where it was put before that was said. */
  readonly addresses: readonly string[] | undefined
  /** Names of targets that sign in with it. */
  readonly usedBy: readonly string[]
}

export interface Rewrapped {
  readonly rewrapped: readonly string[]
  /** They go on to be what they were. */
  readonly failed: readonly { readonly name: string; readonly why: string }[]
}

export interface GivenSecret {
  readonly value: Secret
  readonly addresses?: readonly string[] | undefined
}

export interface Secrets {
  /** By name. */
  list(): ShownSecret[]
  /** @throws ApiError not_found */
  get(name: string): ShownSecret
  /** Without `addresses` it is bound as it was, and what is new to none. @throws ApiError in_use */
  put(
    name: string,
    given: GivenSecret,
    caller: Pick<Caller, 'actor'>,
    condition: Precondition,
  ): Promise<boolean>
  remove(name: string, reason: string, caller: Pick<Caller, 'actor'>, condition: Precondition): Promise<void>
  /** Those that another master key holds, or all. */
  rewrap(which: 'old' | 'all', caller: Pick<Caller, 'actor'>): Promise<Rewrapped>
}

export interface SecretsOptions {
  readonly control: Pick<ControlLog, 'state' | 'caughtUp' | 'write'>
  /** Undefined where no master key is configured. */
  readonly sealer: Sealer | undefined
  readonly targets: () => readonly TargetConfig[]
  /** Names of those that the file has, which may send anything anywhere. */
  readonly ofFile: ReadonlySet<string>
  readonly log: Pick<Log, 'info' | 'warn'>
}

const triesMax = 5

export function createSecrets({ control, sealer, targets, ofFile, log }: SecretsOptions): Secrets {
  function state() {
    if (control.caughtUp()) return control.state()
    throw new ApiError('control_unavailable', 'The control log is still being read.', { retryAfterSec: 2 })
  }

  function sealing(): Sealer {
    if (sealer) return sealer
    throw new ApiError('not_configured', 'Nothing is sealed here: secrets.sealing is not configured.')
  }

  const versionOf = (name: string) => state().versions.get(secretAggregate(name)) ?? 0
  const usersOf = (name: string) =>
    targets().filter((target) => sealedIn(target).some((one) => one.name === name))
  const usedBy = (name: string) => usersOf(name).map((target) => target.name)

  /** Nobody is to find out by a session that a target signs in no more. */
  function requireAims(name: string, addresses: readonly string[]): void {
    const left = usersOf(name).filter((target) => !ofFile.has(target.name) && !aimsWithin(addresses, target))
    if (left.length === 0) return
    const names = left.slice(0, 20).map((target) => target.name)
    throw new ApiError('in_use', `These targets sign in with it at other addresses: ${names.join(', ')}.`)
  }

  function shown(secret: SealedSecret): ShownSecret {
    const { name, sealed, sealedAt, sealedBy, addresses } = secret
    const about = { name, version: versionOf(name), sealedAt, sealedBy, addresses, usedBy: usedBy(name) }
    return { ...about, keyId: keyIdOf(sealed), isOld: sealer && isOld(sealer, sealed) }
  }

  /** Sealed for the version that it will be, which the log then must find: so what was sealed for another place never opens. */
  async function write(
    type: 'secret.sealed' | 'secret.rewrapped',
    name: string,
    value: Secret,
    actor: ControlEvent['actor'],
    version: number,
    bound: { readonly addresses?: readonly string[] } = {},
  ): Promise<void> {
    const sealed = await told(sealing().seal(value, contextOf(name, version + 1)))
    await control.write({ type, name, sealed, ...bound }, actor, { expectedVersion: version })
  }

  async function rewrapOne(secret: SealedSecret, actor: ControlEvent['actor']): Promise<void> {
    const { name, sealed, version } = secret
    const value = await told(sealing().open(sealed, contextOf(name, version)))
    await write('secret.rewrapped', name, value, actor, versionOf(name))
  }

  /** The sealer's errors name keys and what is wrong with them, never what is sealed. */
  async function told<T>(sealed: Promise<T>): Promise<T> {
    try {
      return await sealed
    } catch (cause) {
      if (!(cause instanceof VaultError)) throw cause
      log.warn({ why: cause.message, code: cause.code }, 'the master key cannot be used')
      throw new ApiError('sealing_unavailable', `${cause.message}. Nothing was changed.`, {
        cause,
        retryAfterSec: 5,
      })
    }
  }

  function known(name: string): SealedSecret {
    const secret = state().sealedSecrets.get(name)
    if (secret) return secret
    throw new ApiError('not_found', 'There is no sealed secret of this name.')
  }

  return {
    list: () => Array.from(state().sealedSecrets.values(), shown).sort((a, b) => (a.name < b.name ? -1 : 1)),
    get: (name) => shown(known(name)),
    async put(name, { value, addresses }, { actor }, condition) {
      sealing()
      for (let tries = 1; ; tries++) {
        const before = state().sealedSecrets.get(name)
        const exists = before !== undefined
        const aims = addresses ?? (before ? before.addresses : [])
        if (aims) requireAims(name, aims)
        const aggregateVersion = versionOf(name)
        expectedVersion(condition, { exists, aggregateVersion })
        try {
          await write('secret.sealed', name, value, actor, aggregateVersion, aims && { addresses: aims })
          return !exists
        } catch (error) {
          // Somebody was first: with a condition that is told at the next look, without one the last to come wins.
          if (!(error instanceof ControlError) || error.code !== 'conflict' || tries >= triesMax) throw error
        }
      }
    },
    async remove(name, reason, { actor }, condition) {
      known(name)
      const users = usedBy(name)
      if (users.length > 0)
        throw new ApiError('in_use', `These targets sign in with it: ${users.slice(0, 20).join(', ')}.`)
      const aggregateVersion = versionOf(name)
      const expected = expectedVersion(condition, { exists: true, aggregateVersion })
      await control.write({ type: 'secret.removed', name, reason }, actor, { expectedVersion: expected })
    },
    async rewrap(which, { actor }) {
      const all = Array.from(state().sealedSecrets.values())
      // A key that rotates where it lies is known to have only by what it seals.
      if (which === 'old') await told(sealing().seal(new Secret(''), contextOf('', 0)))
      const due = which === 'all' ? all : all.filter(({ sealed }) => isOld(sealing(), sealed))
      const rewrapped: string[] = []
      const failed: { name: string; why: string }[] = []
      for (const secret of due)
        try {
          await rewrapOne(secret, actor)
          rewrapped.push(secret.name)
        } catch (error) {
          if (!(error instanceof ApiError || error instanceof ControlError)) throw error
          failed.push({ name: secret.name, why: error.message })
        }
      log.info({ rewrapped: rewrapped.length, failed: failed.length }, 'sealed secrets were rewrapped')
      return { rewrapped, failed }
    },
  }
}

function contextOf(name: string, version: number): SealContext {
  return { aggregateId: secretAggregate(name), name, version }
}

function keyIdOf(sealed: string): string {
  return attempt(() => masterKeyOf(sealed)) ?? ''
}

/** What stands there and was never sealed is due too: whoever rewraps is to hear of it. */
function isOld(sealer: Sealer, sealed: string): boolean {
  return attempt(() => sealer.isOld(sealed)) ?? true
}

function attempt<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if (error instanceof VaultError) return undefined
    throw error
  }
}
