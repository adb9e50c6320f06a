/** The policy that a configuration names, read together with it: one way for every program that needs it. */
import { readFileSync } from 'node:fs'
import { loadPolicy } from './check-targets.ts'
import { PolicyError } from './errors.ts'
import type { ParsedPolicy } from './parse.ts'

/** Of the configuration. */
export interface ConfiguredPolicy {
  readonly policy?: { readonly file: string } | undefined
  readonly masking: { readonly key?: string | undefined }
  readonly proxy: { readonly presidio?: object | undefined }
  readonly targets: readonly {
    readonly name: string
    readonly protocol: string
    readonly labels: Readonly<Record<string, string>>
  }[]
}

export interface LoadedPolicy {
  readonly text: string
  readonly policy: ParsedPolicy
  /** What may be meant otherwise, a line each. */
  readonly warnings: readonly string[]
}

/** Undefined where the configuration names none. @throws PolicyError unreadable, or invalid with every mistake. */
export function loadPolicyFile({
  policy,
  targets,
  masking,
  proxy,
}: ConfiguredPolicy): LoadedPolicy | undefined {
  if (policy === undefined) return undefined
  const text = textOf(policy.file)
  const known = targets.map(({ name: target, protocol, labels }) => ({ target, protocol, labels }))
  const has = { key: masking.key !== undefined, presidio: proxy.presidio !== undefined }
  return { text, ...loadPolicy(text, policy.file, known, has) }
}

/**
 * What may be meant otherwise, a line each. A file that cannot be read has none: the configuration says so itself.
 * @throws PolicyError invalid
 */
export function policyWarnings(configured: ConfiguredPolicy): readonly string[] {
  try {
    return loadPolicyFile(configured)?.warnings ?? []
  } catch (error) {
    if (error instanceof PolicyError && error.code === 'unreadable') return []
    throw error
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new PolicyError([`${file}: cannot be read: ${(cause as Error).message}`], 'unreadable', { cause })
  }
}
