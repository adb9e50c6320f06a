/**
 * What a proxy needs of the control state beside verdicts: who may prove themselves by what Portcullis gave out itself, and
 * secrets that it alone can open. It leaves out what no proxy may have: the private halves of signing keys.
 */
import type { ApiKey } from './api-keys.ts'
import type { ControlState } from './fold.ts'
import type { SealedSecret } from './sealed-secrets.ts'
import type { SigningKey } from './signing-keys.ts'

export type PublicSigningKey = Omit<SigningKey, 'sealedPrivateKey'>

export interface Holdings {
  readonly signingKeys: readonly PublicSigningKey[]
  readonly apiKeys: readonly ApiKey[]
  readonly sealedSecrets: readonly SealedSecret[]
}

export const noHoldings: Holdings = { signingKeys: [], apiKeys: [], sealedSecrets: [] }

export function holdingsOf({
  signingKeys,
  apiKeys,
  sealedSecrets,
}: Pick<ControlState, 'signingKeys' | 'apiKeys' | 'sealedSecrets'>): Holdings {
  return {
    signingKeys: Array.from(signingKeys.values(), ({ sealedPrivateKey: _, ...key }) => key),
    apiKeys: Array.from(apiKeys.values()),
    sealedSecrets: Array.from(sealedSecrets.values()),
  }
}
