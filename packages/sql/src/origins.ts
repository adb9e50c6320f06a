// EXECUTE and FETCH do what the statement behind their name does. Pure: which statement that is, the session knows.
import type { Effect } from '@portcullis/kernel'
import type { Tree } from './grammar.ts'
import { effectOrder } from './judge.ts'
import type { NamedStatement, StatementAnalysis } from './types.ts'
import { isDoneByPlanning } from './walk.ts'

/** A statement that uses a name, with what it comes to where the name stands for `origin`. */
function withOrigin(
  analysis: StatementAnalysis,
  { beside, planned }: NamedStatement,
  origin: StatementAnalysis,
): StatementAnalysis {
  const run = (effect: Effect) => !planned || isDoneByPlanning(effect)
  const effects = new Set([...beside, ...origin.effects.filter(run)])
  const objects = origin.objects
    .filter(({ kind }) => kind !== 'prepared' && kind !== 'cursor')
    .map((object) => (run(object.effect) ? object : { ...object, effect: 'read' as const }))
  // What it leaves is the origin's, and it stands for no other text.
  const { where: _, alike: __, ...own } = analysis
  return Object.freeze({
    ...own,
    // Of a name that the same text makes, the values are not looked at.
    ...(origin.where && !planned && { where: origin.open ? 'unknown' : origin.where }),
    effects: effectOrder.filter((effect) => effects.has(effect)),
    objects: [...analysis.objects, ...objects],
    privileged: analysis.privileged || origin.privileged,
    origin: origin.fingerprint,
    behind: origin,
  })
}

type Remember = (
  analysis: StatementAnalysis,
  origin: StatementAnalysis,
  join: () => StatementAnalysis,
) => StatementAnalysis

/**
 * What each statement of one text comes to where it uses a name. `stands` tells what a name stands for before the text,
 * with these arguments of EXECUTE; `remember` may give back what an earlier call has joined.
 */
export function resolveNames(
  analyses: readonly StatementAnalysis[],
  stands: (
    kind: NamedStatement['kind'],
    name: string,
    args: readonly Tree[] | undefined,
  ) => StatementAnalysis | undefined,
  remember: Remember = (_analysis, _origin, join) => join(),
): readonly StatementAnalysis[] {
  if (analyses.every(({ named }) => named?.action !== 'use')) return analyses
  // A statement whose name was not made as asked for fails, and with it all that comes after it.
  const made = new Map<string, StatementAnalysis | undefined>()
  const keyOf = (kind: string, name: string) => `${kind}\0${name}`
  let isOpen = true
  return analyses.map((analysis) => {
    const { named } = analysis
    if (named === undefined) return analysis
    if (named.name === undefined) {
      made.clear()
      isOpen = false
    } else if (named.action !== 'use')
      made.set(keyOf(named.kind, named.name), named.action === 'make' ? analysis : undefined)
    else {
      const key = keyOf(named.kind, named.name)
      const origin = made.has(key)
        ? made.get(key)
        : isOpen
          ? stands(named.kind, named.name, named.args)
          : undefined
      if (origin !== undefined) return remember(analysis, origin, () => withOrigin(analysis, named, origin))
    }
    return analysis
  })
}
