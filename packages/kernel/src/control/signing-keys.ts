/**
 * The keys that Portcullis signs its own tokens with. The log holds the public half, and the private half sealed (only a
 * service that has the master key can sign); whoever folds the log can verify, with nobody to ask. A key is retired, never
 * removed: tokens it signed are refused from then on.
 */
import type { Aggregate } from './aggregate.ts'
import { idCharsMax, textCharsMax } from './fields.ts'

export type SigningKeyChange =
  | {
      readonly type: 'signing-key.added'
      readonly keyId: string
      /** JOSE algorithm, such as EdDSA. */
      readonly algorithm: string
      /** JWK (RFC 7517) of the public half, as JSON. */
      readonly publicJwk: string
      /** PKCS #8 of the private half, sealed. */
      readonly sealedPrivateKey: string
    }
  | { readonly type: 'signing-key.retired'; readonly keyId: string; readonly reason: string }

export interface SigningKey {
  readonly keyId: string
  readonly algorithm: string
  readonly publicJwk: string
  readonly sealedPrivateKey: string
  readonly addedAt: number
}

export interface SigningKeyParts {
  /** Not retired, the latest last. */
  readonly signingKeys: Map<string, SigningKey>
}

export const signingKeyControl: Aggregate<SigningKeyChange, SigningKeyParts> = {
  readers: {
    'signing-key.added': (read) => ({
      type: 'signing-key.added',
      keyId: read.text('keyId', 1, 128),
      algorithm: read.text('algorithm', 1, 32),
      publicJwk: read.text('publicJwk', 2, textCharsMax),
      sealedPrivateKey: read.text('sealedPrivateKey', 1, textCharsMax),
    }),
    'signing-key.retired': (read) => ({
      type: 'signing-key.retired',
      keyId: read.text('keyId', 1, 128),
      reason: read.text('reason', 0, idCharsMax),
    }),
  },
  idOf: ({ keyId }) => `signing-key/${keyId}`,
  apply(state, change, { at, version }) {
    const { keyId } = change
    if (change.type === 'signing-key.retired')
      return state.signingKeys.delete(keyId)
        ? undefined
        : { code: 'not_found', why: `there is no signing key ${keyId}, or it was retired before` }
    if (version > 0) return { code: 'exists', why: `signing key ${keyId} was added before: use a new id` }
    const { algorithm, publicJwk, sealedPrivateKey } = change
    state.signingKeys.set(keyId, { keyId, algorithm, publicJwk, sealedPrivateKey, addedAt: at })
    return undefined
  },
}
