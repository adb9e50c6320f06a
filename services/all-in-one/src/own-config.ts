/**
 * A configuration of one's own, with the policy that it names: what `--validate` judges, and what nothing starts without.
 * Refuses to let a policy that the proxy would not take pass for valid, since the proxy alone would say so, and late.
 */
import { type Config, ConfigError, loadConfigHere } from '@portcullis/config'
import { PolicyError, policyWarnings } from '@portcullis/policy'

export type OwnConfig = {
  readonly config: Config
  /** A line for each thing that this machine lacks. */
  readonly missing: readonly string[]
  /** A line for each thing in both that may be meant otherwise. */
  readonly warnings: readonly string[]
}

/** @throws ConfigError with every mistake of the first of the two files that has any. */
export function loadOwnConfig(file: string): OwnConfig {
  const { config, missing, warnings } = loadConfigHere(file)
  try {
    return { config, missing, warnings: [...warnings, ...policyWarnings(config)] }
  } catch (error) {
    if (error instanceof PolicyError) throw new ConfigError('invalid', error.problems, { cause: error })
    throw error
  }
}
