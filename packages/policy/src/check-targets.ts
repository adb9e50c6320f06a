/** What the rules say of the targets that there are: a misspelt one would be left unguarded. */
import type { Subject } from './types.ts'
import { mayBeFor } from './match.ts'
import type { ParsedPolicy } from './parse.ts'
import type { Problem } from './source.ts'

export interface PolicyTarget extends Pick<Subject, 'protocol' | 'target' | 'labels'> {
  /** Whether what it answers can be masked. */
  readonly masks: boolean
}

/** One line a problem. */
export function targetProblems(policy: ParsedPolicy, targets: readonly PolicyTarget[]): readonly string[] {
  const problems = policy.rules.flatMap(({ match = {}, action, observe, entry }): Problem[] => {
    const unknown = (match.targets ?? []).flatMap((pattern, at) =>
      targets.some((target) => mayBeFor({ targets: [pattern] }, target))
        ? []
        : [{ path: ['rules', entry, 'match', 'targets', at], message: `there is no target ${pattern}` }],
    )
    if (action !== 'mask' || observe) return unknown
    const blind = targets.filter((target) => !target.masks && mayBeFor(match, target))
    const message = `cannot be masked: ${blind.map(({ target }) => target).join(', ')}`
    return blind.length === 0 ? unknown : [...unknown, { path: ['rules', entry, 'action'], message }]
  })
  return policy.lines(problems)
}
