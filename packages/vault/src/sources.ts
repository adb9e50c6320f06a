/** The sources that a configuration has, by the kind of reference they serve. */
import type { Clock } from '@portcullis/kernel'
import type { Kind } from './reference.ts'
import type { Source } from './source.ts'
import { type AwsSettings, createAws } from './sources/aws.ts'
import { createAwsSecrets } from './sources/aws-secrets.ts'
import { createHashicorp, type HashicorpSettings } from './sources/hashicorp.ts'
import { createKubernetes, type KubernetesSettings } from './sources/kubernetes.ts'
import { readLocal } from './sources/local.ts'

export interface SourceSettings {
  /** Of one exchange with a source. */
  readonly timeoutMs: number
  readonly vault?: Omit<HashicorpSettings, 'timeoutMs'> | undefined
  readonly aws?: Omit<AwsSettings, 'timeoutMs'> | undefined
  readonly kubernetes?: Omit<KubernetesSettings, 'timeoutMs'> | undefined
}

export function createSources(
  { timeoutMs, vault, aws, kubernetes }: SourceSettings,
  clock: Clock,
): Partial<Record<Kind, Source>> {
  const deps = { clock, readLocal }
  return {
    ...(vault && { vault: createHashicorp({ ...vault, timeoutMs }, deps).source }),
    ...(aws && { 'aws-sm': createAwsSecrets(createAws({ ...aws, timeoutMs }, deps)) }),
    ...(kubernetes && { k8s: createKubernetes({ ...kubernetes, timeoutMs }) }),
  }
}
