// The body of a function in SQL: looked into once, whatever it is given; what is given takes the parameters' places then.
import type { CatalogueFunction } from '../catalogue-types.ts'
import { isStandardBody } from '../stored.ts'
import type { Passed } from './calls.ts'
import {
  clean,
  createParameter,
  derived,
  either,
  fieldFlow,
  type Flow,
  isParameter,
  isStored,
  mapFlows,
  noRows,
  parameterFlow,
  type Relation,
  whole,
} from './flow.ts'
import { statementRelation } from './statements.ts'
import type { Trace, Uses } from './trace.ts'

/** Views and functions that stand in each other: deeper is lost. */
const depthMax = 32

export interface Body {
  readonly relation: Relation
  readonly reads: Flow
  readonly raises: Flow
  readonly called: Flow
  /** What it stores or sends elsewhere of what it is given; what else it does is its owner's own matter. */
  readonly copies: Flow
}

/** undefined: it cannot be read. */
export function bodyOf(trace: Trace, one: CatalogueFunction, passed: Passed): Relation | undefined {
  const { body, searchPath } = one
  if (body === undefined || trace.depth >= depthMax) return undefined
  const path = searchPath ?? trace.sessionPath
  const known = trace.index.bodies.known(one, path, () => traced(trace, one, path))
  if (known === undefined) return undefined
  const given = (at: number) => argumentFlow(trace, one, passed, at)
  const filled = (flow: Flow) => fill(flow, given)
  // It asks anew for each row, of what the rows have.
  const isMadeUp = passed.flows.some((flow) => flow.rows !== undefined && !isStored(flow))
  trace.reads.add({ ...filled(known.reads), rows: undefined }, isMadeUp ? Infinity : 1)
  trace.raises.add(filled(known.raises))
  trace.called.add(filled(known.called))
  trace.copies.add(filled(known.copies))
  return mapFlows(known.relation, filled)
}

/** What stands for the parameter at this place, from 0. */
function argumentFlow(
  trace: Trace,
  one: CatalogueFunction,
  { flows, isPositional }: Passed,
  at: number,
): Flow {
  // Where the text names them, passes an array for many, or leaves out what only gives something back: any of them.
  if (!isPositional || one.kind === 'procedure') return derived([...flows, defaultFlow(trace, one)])
  if (one.argumentsMax < 0 && at === parametersOf(one) - 1) return derived(flows.slice(at))
  return flows[at] ?? defaultFlow(trace, one)
}

function defaultFlow(trace: Trace, { defaults }: CatalogueFunction): Flow {
  if (defaults === undefined) return clean
  const [select] = trace.index.stored.trees('condition', defaults)
  return whole(statementRelation(trace.inside(), select))
}

function parametersOf({ signature }: CatalogueFunction): number {
  return signature === '' ? 0 : signature.split(' ').length
}

function traced(outer: Trace, one: CatalogueFunction, path: Trace['path']): Body {
  const { argumentNames = [], argumentModes = '', body = '' } = one
  const inputs = argumentNames.filter((_, at) => /[ibv]/.test(argumentModes[at] ?? 'i'))
  const parameters = Array.from({ length: parametersOf(one) }, (_, at) =>
    parameterFlow(createParameter(at + 1)),
  )
  const named = new Map(inputs.flatMap((name, at) => (parameters[at] ? [[name, parameters[at]]] : [])))
  const trace = outer.inside({ path: isStandardBody(body) ? [] : path, sessionPath: path, parameters })
  let relation: Relation = noRows
  for (const statement of outer.index.stored.trees('statements', body))
    relation = statementRelation(trace, statement, named)
  return {
    relation,
    reads: trace.reads.flow,
    raises: trace.raises.flow,
    called: trace.called.flow,
    copies: onlyParameters(trace.copies),
  }
}

function onlyParameters(uses: Uses): Flow {
  return { refs: new Set([...uses.refs].filter(isParameter)), lost: false, exact: false }
}

function fill(flow: Flow, given: (at: number) => Flow): Flow {
  const parameters = [...flow.refs].filter(isParameter)
  if (parameters.length === 0) return flow
  const refs = new Set([...flow.refs].filter((ref) => !isParameter(ref)))
  const own: Flow = { refs, lost: flow.lost, exact: flow.exact, rows: flow.rows }
  const passed = parameters.map(({ parameter, field }) => {
    const flow = given(parameter - 1)
    return field === undefined ? flow : fieldFlow(flow, field)
  })
  const all = [own, ...passed]
  const filled = flow.exact ? either(all) : derived(all)
  return flow.row === undefined ? filled : { ...filled, row: mapFlows(flow.row, (one) => fill(one, given)) }
}

/** What is known of functions' bodies. A function that calls itself is lost. */
export interface Bodies {
  known(one: CatalogueFunction, path: Trace['path'], look: () => Body): Body | undefined
}

export function createBodies(): Bodies {
  const known = new Map<CatalogueFunction, Map<string, Body | undefined>>()
  return {
    known(one, path, look) {
      const key = JSON.stringify(path ?? null)
      const ofPath = known.get(one) ?? new Map<string, Body | undefined>()
      known.set(one, ofPath)
      if (ofPath.has(key)) return ofPath.get(key)
      ofPath.set(key, undefined)
      const body = look()
      ofPath.set(key, body)
      return body
    },
  }
}
