// What a statement may do to what is known about its session and its target. Pure.
import { knownUse } from './functions.ts'
import type { StatementAnalysis } from './types.ts'

/** Whether names may stand for something else in the target once it has run. A function that is called may define, too: that is not seen here. */
export function mayDefine({ effects }: Pick<StatementAnalysis, 'effects'>): boolean {
  return effects.includes('define') || effects.includes('unknown')
}

/** By their bare names; `all`: nobody can tell which, or something else than tables. */
export type ChangedTables = readonly string[] | 'all'

/** Which tables and views may be others once a statement has run that may define something. */
export function changedTables({
  verb,
  effects,
  objects,
}: Pick<StatementAnalysis, 'verb' | 'effects' | 'objects'>): ChangedTables {
  if (effects.includes('unknown') || effects.includes('execute')) return 'all'
  if (changesNone.has(verb)) return []
  if (!changesNamed.has(verb)) return 'all'
  return objects.flatMap(({ kind, name }) => (kind === 'table' ? name : []))
}

const changesNone = new Set(['CREATE INDEX', 'DROP INDEX', 'CREATE SCHEMA', 'COMMENT'])

/** Other verbs rename, or define what tables and functions are made of. */
const changesNamed = new Set([
  'CREATE TABLE',
  'CREATE TABLE AS',
  'CREATE VIEW',
  'CREATE MATERIALIZED VIEW',
  'CREATE SEQUENCE',
  'SELECT INTO',
  'DROP TABLE',
  'DROP VIEW',
  'DROP MATERIALIZED VIEW',
  'DROP SEQUENCE',
])

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
