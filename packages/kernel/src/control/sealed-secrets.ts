/**
 * Secrets sealed in the log: what stands here is ciphertext, which only a service that has the master key can open. It is
 * put anew where the secret is rotated or its key is.
 */
import type { Aggregate } from './aggregate.ts'
import { textCharsMax } from './fields.ts'

export type SealedSecretChange =
  | { readonly type: 'secret.sealed'; readonly name: string; readonly sealed: string }
  | { readonly type: 'secret.removed'; readonly name: string; readonly reason: string }

export interface SealedSecret {
  readonly name: string
  /** As the sealer wrote it. */
  readonly sealed: string
  readonly sealedAt: number
  readonly sealedBy: string
}

export interface SealedSecretParts {
  readonly sealedSecrets: Map<string, SealedSecret>
}

/** Some 64 KB of secret. */
const sealedCharsMax = 131_072

export const sealedSecretControl: Aggregate<SealedSecretChange, SealedSecretParts> = {
  readers: {
    'secret.sealed': (read) => ({
      type: 'secret.sealed',
      name: read.text('name', 1, 128),
      sealed: read.text('sealed', 1, sealedCharsMax),
    }),
    'secret.removed': (read) => ({
      type: 'secret.removed',
      name: read.text('name', 1, 128),
      reason: read.text('reason', 0, textCharsMax),
    }),
  },
  idOf: ({ name }) => `secret/${name}`,
  apply(state, change, { at, by }) {
    const { name } = change
    if (change.type === 'secret.sealed') {
      state.sealedSecrets.set(name, { name, sealed: change.sealed, sealedAt: at, sealedBy: by })
      return undefined
    }
    return state.sealedSecrets.delete(name)
      ? undefined
      : { code: 'not_found', why: `there is no sealed secret ${name}` }
  },
}
