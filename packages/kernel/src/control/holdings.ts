/**
 * What a proxy needs of the control state beside verdicts: who may prove themselves by what Portcullis gave out itself,
 * secrets that it alone can open, and what was configured by the API. It leaves out what no proxy may have: the private halves of signing keys.
 */
import type { ApiKey } from './api-keys.ts'
import type { ControlState } from './fold.ts'
import type { StoredPolicy } from './policy.ts'
import type { SealedSecret } from './sealed-secrets.ts'
import type { StoredSetting } from './settings.ts'
import type { SigningKey } from './signing-keys.ts'

export type PublicSigningKey = Omit<SigningKey, 'sealedPrivateKey'>

export interface Holdings {
  readonly signingKeys: readonly PublicSigningKey[]
  readonly apiKeys: readonly ApiKey[]
  readonly sealedSecrets: readonly SealedSecret[]
  /** As they were put: not yet checked. */
  readonly targets: readonly StoredSetting[]
  readonly issuers: readonly StoredSetting[]
  /** URLs of issuers that are trusted no longer. */
  readonly removedIssuers: readonly string[]
  /** By name, as they were put: not yet read. */
  readonly policies: readonly StoredPolicy[]
}

export const noHoldings: Holdings = {
  signingKeys: [],
  apiKeys: [],
  sealedSecrets: [],
  targets: [],
  issuers: [],
  removedIssuers: [],
  policies: [],
}

export function holdingsOf({
  signingKeys,
  apiKeys,
  sealedSecrets,
  targets,
  issuers,
  removedIssuers,
  policies,
}: Pick<
  ControlState,
  'signingKeys' | 'apiKeys' | 'sealedSecrets' | 'targets' | 'issuers' | 'removedIssuers' | 'policies'
>): Holdings {
  return {
    signingKeys: Array.from(signingKeys.values(), ({ sealedPrivateKey: _, ...key }) => key),
    apiKeys: Array.from(apiKeys.values()),
    sealedSecrets: Array.from(sealedSecrets.values()),
    targets: Array.from(targets.values()),
    issuers: Array.from(issuers.values()),
    removedIssuers: Array.from(removedIssuers.keys()),
    policies: Array.from(policies.values()).sort((a, b) => (a.name < b.name ? -1 : 1)),
  }
}
