/** What zod found, as problems with their places. */
import type { z } from 'zod'
import type { Problem } from './cross-checks.ts'

/** A union reports its branches inside: show the first's, which is the form to prefer. So does a name that is none. */
export function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  prefix: readonly PropertyKey[] = [],
): Problem[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path]
    const branch = issue.code === 'invalid_union' ? issue.errors[0] : undefined
    if (branch) return problemsOf(branch, path)
    if (issue.code === 'invalid_key') return problemsOf(issue.issues, path)
    if (issue.code !== 'unrecognized_keys') return [{ path, message: issue.message }]
    return issue.keys.map((key) => ({ path: [...path, key], message: 'unknown key' }))
  })
}

/** In place of zod's words for what is not there at all. */
export function ofMissing({ code, input }: { code: string; input?: unknown }): string | undefined {
  return code === 'invalid_type' && input === undefined ? 'is required' : undefined
}
