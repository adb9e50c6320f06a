/** What the rules say of the targets that there are: a misspelt one would be left unguarded. */
import { PolicyError } from './errors.ts'
import { mayBeFor } from './match.ts'
import { type ParsedPolicy, parsePolicy } from './parse.ts'
import type { Problem } from './source.ts'
import type { Subject } from './types.ts'

export type PolicyTarget = Pick<Subject, 'protocol' | 'target' | 'labels'>

/** Protocols whose answers can be masked. A rule that masks those of another is a mistake, and not a promise. */
const maskable: ReadonlySet<string> = new Set(['postgres'])

/** What rules may need of the configuration. */
export interface Means {
  /** A key for masks by a keyed method. */
  readonly key: boolean
  /** Presidio's analyzer. */
  readonly presidio: boolean
}

/**
 * @throws PolicyError with every mistake, of the rules alone or else of what they say of these targets.
 */
export function loadPolicy(
  text: string,
  file: string,
  targets: readonly PolicyTarget[],
  has: Means,
): { readonly policy: ParsedPolicy; readonly warnings: readonly string[] } {
  const policy = parsePolicy(text, file)
  const { errors, warnings } = targetProblems(policy, targets, has)
  if (errors.length > 0) throw new PolicyError(errors)
  return { policy, warnings }
}

/** One line each. A target that is not there is no error: the API may have it, now or later. */
export function targetProblems(
  policy: ParsedPolicy,
  targets: readonly PolicyTarget[],
  has: Means,
): { readonly errors: readonly string[]; readonly warnings: readonly string[] } {
  const errors: Problem[] = []
  const warnings: Problem[] = []
  for (const { match = {}, action, mask, observe, entry } of policy.rules) {
    for (const [at, pattern] of (match.targets ?? []).entries())
      if (!targets.some((target) => mayBeFor({ targets: [pattern] }, target)))
        warnings.push({
          path: ['rules', entry, 'match', 'targets', at],
          message: `the file has no target ${pattern}`,
        })
    if (action !== 'mask' || observe) continue
    const blind = targets.filter((target) => !maskable.has(target.protocol) && mayBeFor(match, target))
    const message = `cannot be masked: ${blind.map(({ target }) => target).join(', ')}`
    if (blind.length > 0) errors.push({ path: ['rules', entry, 'action'], message })
    if (!has.key && (mask?.method === 'hash' || mask?.method === 'fake'))
      errors.push({
        path: ['rules', entry, 'mask', 'method'],
        message: `${mask.method} needs the key masking.key of the configuration`,
      })
    if (!has.presidio && mask && mask.presidio.length > 0)
      errors.push({
        path: ['rules', entry, 'mask', 'presidio'],
        message: 'needs proxy.presidio of the configuration',
      })
  }
  return { errors: policy.lines(errors), warnings: policy.lines(warnings) }
}
