/**
 * The proxy's configuration with the text of the policy that it names, read together: workers get both from their supervisor
 * and read no file, which may have changed since.
 */
import { readFileSync } from 'node:fs'
import { type Config, ConfigError, loadConfig } from '@portcullis/config'
import { createPolicy, loadPolicy, type Policy, PolicyError, parsePolicy } from '@portcullis/policy'

export type ProxyConfig = Config & { readonly policyText?: string | undefined }

/** @throws ConfigError with every mistake of the first of the two files that has any. */
export function loadProxyConfig(file: string): ProxyConfig {
  const config = loadConfig(file)
  if (config.policy === undefined) return config
  const path = config.policy.file
  const policyText = textOf(path)
  try {
    loadPolicy(
      policyText,
      path,
      config.targets.map(({ name: target, protocol, labels }) => ({ target, protocol, labels })),
    )
  } catch (error) {
    if (error instanceof PolicyError) throw new ConfigError('invalid', error.problems, { cause: error })
    throw error
  }
  return { ...config, policyText }
}

/** Of a text that was read without a mistake. */
export function policyOf({ policy, policyText }: ProxyConfig): Policy | undefined {
  if (policy === undefined || policyText === undefined) return undefined
  return createPolicy(parsePolicy(policyText, policy.file).rules)
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ConfigError('unreadable', [`${path}: cannot be read: ${(cause as Error).message}`], { cause })
  }
}
