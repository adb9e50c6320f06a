// What a statement may do to what is known about its session and its target. Pure.
import { knownUse } from './functions.ts'
import type { StatementAnalysis } from './types.ts'

/** Whether names may stand for something else in the target once it has run. A function that is called may define, too: that is not seen here. */
export function mayDefine({ effects }: Pick<StatementAnalysis, 'effects'>): boolean {
  return effects.includes('define') || effects.includes('unknown')
}

/** Whether names may be looked for elsewhere once it has run: it sets the search path or the role, or calls what may. */
export function mayMoveSearchPath({
  effects,
  objects,
  verb,
  undoes,
}: Pick<StatementAnalysis, 'effects' | 'objects' | 'verb' | 'undoes'>): boolean {
  return (
    undoes ||
    verb === 'DISCARD' ||
    effects.includes('unknown') ||
    objects.some(
      ({ kind, namespace, name, effect }) =>
        (kind === 'setting' && effect === 'write' && pathSettings.has(name)) ||
        (effect === 'execute' &&
          (kind === 'operator' || (kind === 'function' && knownUse(namespace, name) === undefined))),
    )
  )
}

const pathSettings = new Set(['*', 'search_path', 'role', 'session_authorization'])
