/** The sources that a configuration has, by the kind of reference they serve, and what seals by it. */
import type { Clock, Started } from '@portcullis/kernel'
import { VaultError } from './errors.ts'
import type { Kind } from './reference.ts'
import { createSealer, type KeyWrapper, type Sealer } from './sealer.ts'
import type { Source } from './source.ts'
import { type AwsSettings, type CallAws, createAws } from './sources/aws.ts'
import { createAwsSecrets } from './sources/aws-secrets.ts'
import { type CallVault, createHashicorp, type HashicorpSettings } from './sources/hashicorp.ts'
import { createKubernetes, type KubernetesSettings } from './sources/kubernetes.ts'
import { readLocal } from './sources/local.ts'
import { createSealed, type SealedSource } from './sources/sealed.ts'
import { createKms, createLocalKeys, createTransit, type MasterKey, type TransitKey } from './wrappers.ts'

export interface SourceSettings {
  /** Of one exchange with a source. */
  readonly timeoutMs: number
  readonly vault?: Omit<HashicorpSettings, 'timeoutMs'> | undefined
  readonly aws?: Omit<AwsSettings, 'timeoutMs'> | undefined
  readonly kubernetes?: Omit<KubernetesSettings, 'timeoutMs'> | undefined
  /** The master key: one of these. */
  readonly sealing?:
    | {
        readonly keys?: readonly MasterKey[] | undefined
        readonly transit?: TransitKey | undefined
        readonly kms?: { readonly key: string } | undefined
      }
    | undefined
}

/** `sealed`: what the control log holds; without it, or without a master key, nothing serves `sealed:`. */
export function createSources(
  settings: SourceSettings,
  clock: Clock,
  sealed?: SealedSource,
): Partial<Record<Kind, Source>> {
  const { timeoutMs, vault, aws, kubernetes, sealing } = settings
  const deps = { clock, readLocal }
  const hashicorp = vault && createHashicorp({ ...vault, timeoutMs }, deps)
  const callAws = aws && createAws({ ...aws, timeoutMs }, deps)
  return {
    ...(hashicorp && { vault: hashicorp.source }),
    ...(callAws && { 'aws-sm': createAwsSecrets(callAws) }),
    ...(kubernetes && { k8s: createKubernetes({ ...kubernetes, timeoutMs }) }),
    ...(sealing &&
      sealed && {
        sealed: createSealed(sealed, createSealer(wrapperOf(sealing, hashicorp?.call, callAws))),
      }),
  }
}

/** What seals under the configured master key. @throws VaultError('reference') where none is. */
export function createSealing(settings: Omit<SourceSettings, 'kubernetes'>, clock: Clock): Started<Sealer> {
  const { timeoutMs, vault, aws, sealing = {} } = settings
  const deps = { clock, readLocal }
  const hashicorp = sealing.transit && vault && createHashicorp({ ...vault, timeoutMs }, deps)
  const callAws = sealing.kms && aws && createAws({ ...aws, timeoutMs }, deps)
  return {
    value: createSealer(wrapperOf(sealing, hashicorp?.call, callAws)),
    stop: async () => hashicorp?.source.stop?.(),
  }
}

function wrapperOf(
  { keys: [first, ...others] = [], transit, kms }: NonNullable<SourceSettings['sealing']>,
  callVault: CallVault | undefined,
  callAws: CallAws | undefined,
): KeyWrapper {
  if (first) return createLocalKeys([first, ...others], readLocal)
  if (transit && callVault) return createTransit(transit, callVault)
  if (kms && callAws) return createKms(kms.key, callAws)
  throw new VaultError('reference', 'the configuration has no master key: see secrets.sealing')
}
