/**
 * Static API keys, for what has no issuer. The log holds a hash; the key itself is shown once and kept nowhere. It can be
 * disabled and enabled again; once deleted its id is never used again.
 */
import type { Aggregate } from './aggregate.ts'
import { idCharsMax, textCharsMax } from './fields.ts'

export interface ApiKeyGrant {
  /** Subject of the identity that the key proves. */
  readonly subject: string
  readonly groups: readonly string[]
  /** Names of targets it may reach; none: whatever its groups may. */
  readonly targets: readonly string[]
  /** Networks it may come from, CIDR; none: from everywhere. */
  readonly networks: readonly string[]
  /** Microseconds since 1970 UTC; the reader's own clock decides. */
  readonly expiresAt: number
}

export type ApiKeyChange =
  | ({
      readonly type: 'api-key.created'
      readonly keyId: string
      /** SHA-256 of the whole key, 64 hex digits: it has 256 random bits, so a slow hash adds nothing. */
      readonly hash: string
      readonly description: string
    } & ApiKeyGrant)
  | { readonly type: 'api-key.disabled'; readonly keyId: string; readonly reason: string }
  | { readonly type: 'api-key.enabled'; readonly keyId: string; readonly reason: string }
  | { readonly type: 'api-key.deleted'; readonly keyId: string; readonly reason: string }

export interface ApiKey extends ApiKeyGrant {
  readonly keyId: string
  readonly hash: string
  readonly description: string
  readonly enabled: boolean
  readonly createdAt: number
  readonly createdBy: string
}

export interface ApiKeyParts {
  /** Not deleted. */
  readonly apiKeys: Map<string, ApiKey>
}

const namesMax = 256

export const apiKeyControl: Aggregate<ApiKeyChange, ApiKeyParts> = {
  readers: {
    'api-key.created': (read) => {
      const hash = read.text('hash', 64, 64)
      if (hash !== '' && !/^[0-9a-f]{64}$/.test(hash)) read.problem('hash', '64 hex digits')
      return {
        type: 'api-key.created',
        keyId: read.text('keyId', 1, 128),
        hash,
        description: read.text('description', 0, textCharsMax),
        subject: read.text('subject', 1, idCharsMax),
        groups: read.texts('groups', namesMax, idCharsMax),
        targets: read.texts('targets', namesMax, idCharsMax),
        networks: read.texts('networks', namesMax, 64),
        expiresAt: read.micros('expiresAt'),
      }
    },
    'api-key.disabled': (read) => ({
      type: 'api-key.disabled',
      keyId: read.text('keyId', 1, 128),
      reason: read.text('reason', 0, textCharsMax),
    }),
    'api-key.enabled': (read) => ({
      type: 'api-key.enabled',
      keyId: read.text('keyId', 1, 128),
      reason: read.text('reason', 0, textCharsMax),
    }),
    'api-key.deleted': (read) => ({
      type: 'api-key.deleted',
      keyId: read.text('keyId', 1, 128),
      reason: read.text('reason', 0, textCharsMax),
    }),
  },
  idOf: ({ keyId }) => `api-key/${keyId}`,
  apply(state, change, { at, by, version }) {
    const { keyId } = change
    if (change.type === 'api-key.created') {
      if (version > 0) return { code: 'exists', why: `API key ${keyId} was created before: use a new id` }
      const { type: _, ...key } = change
      state.apiKeys.set(keyId, { ...key, enabled: true, createdAt: at, createdBy: by })
      return undefined
    }
    const key = state.apiKeys.get(keyId)
    if (!key) return { code: 'not_found', why: `there is no API key ${keyId}, or it was deleted` }
    if (change.type === 'api-key.deleted') state.apiKeys.delete(keyId)
    else state.apiKeys.set(keyId, { ...key, enabled: change.type === 'api-key.enabled' })
    return undefined
  },
}
