// One statement's lineage, by a catalogue: which stored columns it shows, reads, copies and may quote. Worked out when it is
// asked for, from the text, and remembered. Refuses to throw: what goes wrong here is lost.
import { type Analysis, type Lineage, lostLineage, type ResultColumn, type Sources } from '@portcullis/kernel'
import type { Index } from '../catalogue.ts'
import type { SearchPath } from '../catalogue-types.ts'
import { isTree, type TreeNode } from '../grammar.ts'
import type { StatementAnalysis } from '../types.ts'
import { inner, nodeType } from '../walk.ts'
import { type Flow, isParameter, type Relation, storedIn } from './flow.ts'
import { readSlimTree } from './slim.ts'
import { statementRelation } from './statements.ts'
import { Trace } from './trace.ts'

/** As an analyzer gave it; of others nothing is known but what all have. */
type Known = Analysis & Partial<StatementAnalysis>

/** For statements of sessions with this search path. */
export function createLineages(index: Index, path: SearchPath): (analysis: Analysis) => Lineage {
  // Texts that differ only in what decides nothing have the same.
  const known = new WeakMap<object, Lineage>()
  return (analysis: Known) => {
    const key = analysis.facts ?? analysis.alike ?? analysis
    let lineage = known.get(key)
    if (lineage === undefined) {
      lineage = lineageOf(index, path, analysis)
      known.set(key, lineage)
    }
    return lineage
  }
}

function lineageOf(index: Index, path: SearchPath, analysis: Known): Lineage {
  const { named, behind, verb } = analysis
  if (verb === 'EMPTY') return nothing
  const isUse = named?.action === 'use'
  if (isUse && behind === undefined) return lostLineage
  try {
    const statement = treeOf(index, analysis)
    if (statement === undefined) return lostLineage
    const trace = new Trace({ index, path, behind: isUse ? queryBehind(index, behind) : undefined })
    return summed(trace, statementRelation(trace, statement))
  } catch {
    // Too large, or nested deeper than this thread's stack goes.
    return lostLineage
  }
}

function treeOf(index: Index, { text, verb, tree: kept }: Known): TreeNode | undefined {
  if (verb === 'UNKNOWN') return undefined
  if (kept !== undefined) return readSlimTree(kept)
  const [tree, ...more] = index.stored.trees('statements', text)
  return more.length > 0 ? undefined : tree
}

/** What a PREPARE or DECLARE stands for, or the text itself that a client prepared by the protocol. */
function queryBehind(index: Index, behind: Analysis | undefined): TreeNode | undefined {
  const tree = behind && treeOf(index, behind)
  if (tree === undefined) return undefined
  const type = nodeType(tree) ?? ''
  if (type !== 'PrepareStmt' && type !== 'DeclareCursorStmt') return tree
  const { query } = inner(tree, type)
  return isTree(query) ? query : undefined
}

function summed({ reads, copies, raises }: Trace, { columns, rest }: Relation): Lineage {
  const shown = columns.map(
    ({ name, flow }): ResultColumn => ({ ...resultOf(flow), ...(name !== '' && { name }) }),
  )
  const all = [...columns.map(({ flow }) => flow), ...(rest ? [rest] : [])]
  for (const flow of [...all, reads.flow, copies.flow]) raises.add(flow)
  return Object.freeze({
    columns: Object.freeze(shown),
    others: rest === undefined ? lostLineage.others : resultOf(rest),
    reads: sourcesOf(reads.flow),
    timesRead: new Map([...reads.times].flatMap(([ref, times]) => (isParameter(ref) ? [] : [[ref, times]]))),
    copies: sourcesOf(copies.flow),
    raises: sourcesOf(raises.flow),
  })
}

function resultOf(flow: Flow): ResultColumn {
  return { sources: sourcesOf(flow), exact: flow.exact }
}

function sourcesOf(flow: Flow): Sources {
  return flow.lost ? 'lost' : storedIn(flow)
}

const nothing: Lineage = Object.freeze({
  columns: [],
  others: lostLineage.others,
  reads: [],
  copies: [],
  raises: [],
})
