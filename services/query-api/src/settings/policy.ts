/**
 * The policy that is in force, as the proxies make it of the same documents: the file's and those of the API. The file is read
 * anew each time it is asked for, since it may have changed, and may lie elsewhere: what cannot be read here is told.
 */
import type { Config } from '@portcullis/config'
import type { ControlState, SettingMark } from '@portcullis/kernel'
import {
  createPolicyReader,
  loadPolicyFile,
  type ParsedRule,
  type Policy,
  PolicyError,
  type PolicyFile,
} from '@portcullis/policy'

export interface PolicyInForce {
  /** Undefined: there are no rules. */
  readonly policy: Policy | undefined
  readonly documents: readonly ShownDocument[]
  /** All of them, but for the API's document of that name. */
  rulesBeside(document: string | undefined): readonly ParsedRule[]
}

export interface ShownDocument {
  readonly source: 'file' | 'api'
  /** Empty for the file's. */
  readonly name: string
  /** YAML; empty where the file cannot be read here. */
  readonly text: string
  /** Of the log. */
  readonly mark: SettingMark | undefined
  /** Why it is not in force here as it stands; the proxies hold to what stood before. */
  readonly problems: readonly string[]
}

export function createPolicyInForce(
  config: Pick<Config, 'policy' | 'targets' | 'masking' | 'proxy'>,
): (state: Pick<ControlState, 'policies'>) => PolicyInForce {
  const refused = new Map<string, readonly string[]>()
  const readPolicy = createPolicyReader((name, problems) => refused.set(name, problems))
  return ({ policies }) => {
    const { file, documents } = fileOf(config)
    const stored = Array.from(policies.values()).sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const name of refused.keys()) if (!policies.has(name)) refused.delete(name)
    const { policy, documents: read } = readPolicy(file, stored)
    const ofApi = stored.map(({ name, text, ...mark }): ShownDocument => {
      return { source: 'api', name, text, mark, problems: refused.get(name) ?? [] }
    })
    return {
      policy,
      documents: [...documents, ...ofApi],
      rulesBeside: (document) =>
        read.flatMap(({ name, rules }) => (name !== '' && name === document ? [] : rules)),
    }
  }
}

function fileOf({
  policy,
  targets,
  masking,
  proxy,
}: Pick<Config, 'policy' | 'targets' | 'masking' | 'proxy'>): {
  file: PolicyFile | undefined
  documents: ShownDocument[]
} {
  if (policy === undefined) return { file: undefined, documents: [] }
  const shown = { source: 'file', name: '', mark: undefined } as const
  try {
    const text = loadPolicyFile({ policy, targets, masking, proxy })?.text ?? ''
    return { file: { file: policy.file, text }, documents: [{ ...shown, text, problems: [] }] }
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error
    return { file: undefined, documents: [{ ...shown, text: '', problems: error.problems }] }
  }
}
