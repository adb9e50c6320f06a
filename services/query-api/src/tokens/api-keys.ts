/**
 * API keys by the control log: made, disabled, enabled, deleted. The key is shown once, in the answer that made it; what is
 * kept is a hash. It refuses to make a key that would go by the name of a static token of the API, and more keys than the
 * services, each of which holds all of them, are meant for.
 */
import { randomBytes } from 'node:crypto'
import { apiKeyRandomBytes, makeApiKey } from '@portcullis/identity'
import type { ApiKey, ApiKeyGrant } from '@portcullis/kernel'
import type { ControlLog } from '@portcullis/platform/control'
import type { Caller } from '../auth.ts'
import { ApiError } from '../problems.ts'

export interface ApiKeys {
  /** Latest first. */
  list(): readonly ApiKey[]
  /** `key` is never shown again. */
  create(
    grant: ApiKeyGrant & { readonly description: string },
    caller: Pick<Caller, 'actor'>,
  ): Promise<{ key: string; made: ApiKey }>
  change(keyId: string, to: 'enabled' | 'disabled' | 'deleted', reason: string, caller: Caller): Promise<void>
}

export interface ApiKeysOptions {
  readonly limits?: { readonly perSubjectMax: number; readonly inAllMax: number }
  readonly control: Pick<ControlLog, 'state' | 'caughtUp' | 'write'>
  /** Subjects that stand for somebody already under the same issuer. */
  readonly taken: ReadonlySet<string>
}

const usualLimits = { perSubjectMax: 100, inAllMax: 10_000 }

export function createApiKeys({ control, taken, limits = usualLimits }: ApiKeysOptions): ApiKeys {
  function requireLog(): void {
    if (!control.caughtUp())
      throw new ApiError('control_unavailable', 'The control log is still being read.', { retryAfterSec: 2 })
  }

  function requireRoom(subject: string): void {
    const { apiKeys } = control.state()
    const ofSubject = [...apiKeys.values()].filter((key) => key.subject === subject)
    if (ofSubject.length >= limits.perSubjectMax)
      throw new ApiError(
        'conflict',
        `${subject} has ${ofSubject.length} keys, the most there may be: delete those that are over.`,
      )
    if (apiKeys.size >= limits.inAllMax)
      throw new ApiError(
        'conflict',
        `There are ${apiKeys.size} keys, the most there may be: delete those that are over.`,
      )
  }

  return {
    list: () =>
      [...control.state().apiKeys.values()].sort(
        (a, b) => b.createdAt - a.createdAt || (a.keyId < b.keyId ? 1 : -1),
      ),
    async create(grant, caller) {
      requireLog()
      if (taken.has(grant.subject))
        throw new ApiError('conflict', `A static token of the API goes by the name ${grant.subject}.`)
      requireRoom(grant.subject)
      const { key, keyId, hash } = makeApiKey(randomBytes(apiKeyRandomBytes))
      await control.write({ type: 'api-key.created', keyId, hash, ...grant }, caller.actor, {
        expectedVersion: 0,
      })
      const made = control.state().apiKeys.get(keyId)
      if (!made) throw new Error('an API key that was accepted is not there')
      return { key, made }
    },
    async change(keyId, to, reason, caller) {
      requireLog()
      if (!control.state().apiKeys.has(keyId))
        throw new ApiError('not_found', 'There is no API key of this id, or it was deleted.')
      await control.write({ type: `api-key.${to}`, keyId, reason }, caller.actor)
    },
  }
}
