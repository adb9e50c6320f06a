/**
 * A configuration of one's own, with the policy that it names: what `--validate` judges, and what nothing starts without.
 * Refuses to let a policy that the proxy would not take pass for valid, since the proxy alone would say so, and late.
 */
import { readFileSync } from 'node:fs'
import { type Config, ConfigError, loadConfigHere } from '@portcullis/config'
import { loadPolicy, PolicyError } from '@portcullis/policy'

export type OwnConfig = {
  readonly config: Config
  /** A line for each thing that this machine lacks. */
  readonly missing: readonly string[]
  /** A line for each thing in the policy that may be meant otherwise. */
  readonly warnings: readonly string[]
}

/** @throws ConfigError with every mistake of the first of the two files that has any. */
export function loadOwnConfig(file: string): OwnConfig {
  const { config, missing } = loadConfigHere(file)
  return { config, missing, warnings: policyWarnings(config) }
}

function policyWarnings({ policy, targets }: Config): readonly string[] {
  const text = policy && textOf(policy.file)
  if (policy === undefined || text === undefined) return []
  const known = targets.map(({ name: target, protocol, labels }) => ({ target, protocol, labels }))
  try {
    return loadPolicy(text, policy.file, known).warnings
  } catch (error) {
    if (error instanceof PolicyError) throw new ConfigError('invalid', error.problems, { cause: error })
    throw error
  }
}

/** undefined where it cannot be read, which is among what is missing already. */
function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
