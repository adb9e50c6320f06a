/**
 * The proxy's configuration with the text of the policy that it names, read together: workers get both from their supervisor
 * and read no file, which may have changed since.
 */
import { type Config, ConfigError, loadConfig } from '@portcullis/config'
import { loadPolicyFile, PolicyError, type PolicyFile } from '@portcullis/policy'

export type ProxyConfig = Config & { readonly policyText?: string | undefined }

/** @throws ConfigError with every mistake of the first of the two files that has any. */
export function loadProxyConfig(file: string): ProxyConfig {
  const config = loadConfig(file)
  try {
    const loaded = loadPolicyFile(config)
    return loaded ? { ...config, policyText: loaded.text } : config
  } catch (error) {
    if (error instanceof PolicyError) throw new ConfigError(error.code, error.problems, { cause: error })
    throw error
  }
}

/** Of a text that was read without a mistake. */
export function policyFileOf({
  policy,
  policyText,
}: Pick<ProxyConfig, 'policy' | 'policyText'>): PolicyFile | undefined {
  if (policy === undefined || policyText === undefined) return undefined
  return { file: policy.file, text: policyText }
}
