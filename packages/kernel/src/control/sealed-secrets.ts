/**
 * Secrets sealed in the log: what stands here is ciphertext, which only a service that has the master key can open. It is
 * put anew where the secret is rotated (`sealed`) or the key that seals it is (`rewrapped`: the secret is the same).
 */
import type { Aggregate } from './aggregate.ts'
import { textCharsMax } from './fields.ts'

export type SealedSecretChange =
  | {
      readonly type: 'secret.sealed'
      readonly name: string
      readonly sealed: string
      readonly addresses?: readonly string[]
    }
  | { readonly type: 'secret.rewrapped'; readonly name: string; readonly sealed: string }
  | { readonly type: 'secret.removed'; readonly name: string; readonly reason: string }

export interface SealedSecret {
  readonly name: string
  /** As the sealer wrote it, for this aggregate, name and version. */
  readonly sealed: string
  /** Of the aggregate, after the change that put it here: whoever seals says which it will be. */
  readonly version: number
  /** When the secret itself was put, microseconds since 1970 UTC, and by whom. */
  readonly sealedAt: number
  readonly sealedBy: string
  /** HOST:PORT of targets of the API that may sign in with it, or "*"; absent where it was put before secrets were bound. */
  readonly addresses?: readonly string[]
}

export interface SealedSecretParts {
  readonly sealedSecrets: Map<string, SealedSecret>
}

/** Some 64 KB of secret. */
const sealedCharsMax = 131_072
const addressesMax = 256

export const sealedSecretControl: Aggregate<SealedSecretChange, SealedSecretParts> = {
  readers: {
    'secret.sealed': (read) => ({
      type: 'secret.sealed',
      name: read.text('name', 1, 128),
      sealed: read.text('sealed', 1, sealedCharsMax),
      ...(read.has('addresses') && { addresses: read.texts('addresses', addressesMax, 512) }),
    }),
    'secret.rewrapped': (read) => ({
      type: 'secret.rewrapped',
      name: read.text('name', 1, 128),
      sealed: read.text('sealed', 1, sealedCharsMax),
    }),
    'secret.removed': (read) => ({
      type: 'secret.removed',
      name: read.text('name', 1, 128),
      reason: read.text('reason', 0, textCharsMax),
    }),
  },
  idOf: ({ name }) => secretAggregate(name),
  apply(state, change, { at, by, version: before }) {
    const { name } = change
    const version = before + 1
    if (change.type === 'secret.sealed') {
      const { sealed, addresses } = change
      const bound = addresses && { addresses }
      state.sealedSecrets.set(name, { name, sealed, version, sealedAt: at, sealedBy: by, ...bound })
      return undefined
    }
    const secret = state.sealedSecrets.get(name)
    if (!secret) return { code: 'not_found', why: `there is no sealed secret ${name}` }
    if (change.type === 'secret.removed') state.sealedSecrets.delete(name)
    else state.sealedSecrets.set(name, { ...secret, sealed: change.sealed, version })
    return undefined
  },
}

/** The aggregate that changes to a sealed secret are written under. */
export function secretAggregate(name: string): string {
  return `secret/${name}`
}
