/**
 * What the names of a text stand for in this session, as one text that two sessions share only where it is the same for
 * both: people approve a statement, and a search path, a role or a temporary table of the session's own makes another of
 * it. Where nobody can tell, the text is this session's alone.
 */
import { randomUUID } from 'node:crypto'
import { mayDefine, mayMoveSearchPath, type SearchPath } from '@portcullis/sql'

type Told = Parameters<typeof mayMoveSearchPath>[0]

export interface Names {
  /** A statement is forwarded to be run. */
  runs(analysis: Told): void
  standFor(): string
}

/** `parameters`: those that the session was opened with. `searchPath`: as the catalogue knows it, undefined where it does not. */
export function createNames(
  parameters: Readonly<Record<string, string>>,
  searchPath: () => SearchPath | 'default',
): Names {
  let ownSince: string | undefined
  let isMoved = false
  return {
    runs(analysis) {
      // Both lead back to what was before.
      if (analysis.undoes || analysis.verb === 'DISCARD') return
      if (!mayDefine(analysis) && !mayMoveSearchPath(analysis)) return
      if (!mayDefine(analysis) && setsPathAlone(analysis)) isMoved = true
      // What others define counts for everybody, and is the policy's business; a temporary table is seen by nobody else.
      else ownSince ??= randomUUID()
    },
    standFor() {
      if (ownSince !== undefined) return ownSince
      const { search_path: path = '', options = '' } = parameters
      if (!isMoved) return JSON.stringify([path, options])
      const known = searchPath()
      if (typeof known === 'object') return JSON.stringify(known)
      ownSince = randomUUID()
      return ownSince
    },
  }
}

function setsPathAlone({ objects }: Told): boolean {
  return objects.every(
    ({ kind, name, effect }) => effect === 'read' || (kind === 'setting' && name === 'search_path'),
  )
}
