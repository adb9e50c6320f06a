// A target's catalogue, indexed by name, and what names stand for under a search path. Refuses to resolve overloads by
// argument types, which takes the whole of PostgreSQL's rules: where several functions may be meant, what any of them
// does counts.
import { setImmediate } from 'node:timers/promises'
import type {
  Catalogue,
  CatalogueData,
  CatalogueFunction,
  CatalogueName,
  CatalogueRelation,
  Refiner,
  SearchPath,
} from './catalogue-types.ts'
import type { Functions } from './functions.ts'
import { type Bodies, createBodies } from './lineage/bodies.ts'
import type { Relations } from './lineage/relations.ts'
import { createTables } from './lineage/tables.ts'
import { createRefiner } from './refine.ts'
import type { Stored } from './stored.ts'

/** Sessions with other search paths than these many share no refinements. */
const pathsMax = 64
/** How long parsing may keep others waiting at a time. */
const sliceMsMax = 1

/** The part of a catalogue that a refinement asks. */
export interface Index {
  readonly stored: Stored
  readonly functions: Functions
  /** All that a call may mean. */
  calls(schema: string, name: string, count: number, path: SearchPath): readonly CatalogueFunction[]
  /** What `x.name` may call. */
  rowFunctions(name: string, path: SearchPath): readonly CatalogueFunction[]
  operators(schema: string, name: string, path: SearchPath): readonly CatalogueFunction[]
  /** All that a table's name may mean. */
  relations(schema: string, name: string, path: SearchPath): readonly CatalogueRelation[]
  /** What making something into a type of this name may call. */
  casts(type: string): readonly CatalogueFunction[]
  /** Conditions of domains of this name. */
  checks(type: string): readonly string[]
  /** What may be called anywhere, unasked; of assignments only where something is changed. */
  readonly implicit: {
    readonly anywhere: readonly CatalogueFunction[]
    readonly changes: readonly CatalogueFunction[]
  }
  functionById(id: number): CatalogueFunction | undefined
  readonly bodies: Bodies
  readonly lineage: Relations
  under(path: SearchPath, outdated: boolean): Refiner
}

export function createCatalogue(data: CatalogueData, stored: Stored, functions: Functions): Catalogue {
  const index = createIndex(data, stored, functions)
  return {
    stored,
    under: (path, outdated = false) => index.under(path, outdated),
    async warm() {
      let sinceMs = performance.now()
      for (const [kind, text] of definitions(data)) {
        stored.read(kind, text)
        if (performance.now() - sinceMs < sliceMsMax) continue
        await setImmediate()
        sinceMs = performance.now()
      }
      stored.complete()
    },
  }
}

function createIndex(data: CatalogueData, stored: Stored, known: Functions): Index {
  const functions = byName(data.functions)
  const operators = byName(data.operators)
  const relations = byName(data.relations)
  const domains = byName(data.domains)
  const casts = Map.groupBy(data.casts, ({ type }) => type)
  const byId = new Map(data.functions.map((one) => [one.id, one]))
  const ofIds = (ids: readonly { readonly function: number }[]) =>
    ids.flatMap((one) => byId.get(one.function) ?? [])
  const refiners = new Map<string, Refiner>()

  const index: Index = {
    stored,
    functions: known,
    calls(schema, name, count, path) {
      const meant = visible(functions.get(name), schema, path).filter(
        ({ argumentsMin, argumentsMax }) =>
          count >= argumentsMin && (argumentsMax < 0 || count <= argumentsMax),
      )
      // Of two with the same arguments the first on the path is called.
      return schema !== '' || path === undefined ? meant : meant.filter((one) => isFirst(one, meant, path))
    },
    rowFunctions: (name, path) => visible(functions.get(name), '', path).filter(({ takesRow }) => takesRow),
    operators: (schema, name, path) => ofIds(visible(operators.get(name), schema, path)),
    relations(schema, name, path) {
      const meant = visible(relations.get(name), schema, path)
      if (schema !== '' || path === undefined) return meant
      const first = path.find((one) => meant.some((relation) => relation.schema === one))
      // Another session's temporary table is no other name for it here: whose it is cannot be told.
      return meant.filter((one) => one.schema === first || one.schema === temporary)
    },
    casts: (type) => ofIds(casts.get(type) ?? []),
    checks: (type) => (domains.get(type) ?? []).flatMap(({ checks }) => checks),
    implicit: {
      anywhere: ofIds(data.casts.filter(({ context }) => context === 'implicit')),
      changes: ofIds(data.casts.filter(({ context }) => context === 'assignment')),
    },
    functionById: (id) => byId.get(id),
    bodies: createBodies(),
    lineage: { tables: createTables(data.tables), shown: new Map() },
    under(path, outdated) {
      const key = JSON.stringify([path ?? null, outdated])
      let refiner = refiners.get(key)
      if (refiner === undefined) {
        if (refiners.size >= pathsMax) refiners.clear()
        refiner = createRefiner(index, path, outdated)
        refiners.set(key, refiner)
      }
      return refiner
    },
  }
  return index
}

/** As PostgreSQL names the session's own schema; the reader of a catalogue gives it to every session's. */
const temporary = 'pg_temp'

function byName<T extends CatalogueName>(all: readonly T[]): ReadonlyMap<string, readonly T[]> {
  return Map.groupBy(all, ({ name }) => name)
}

function visible<T extends CatalogueName>(
  named: readonly T[] | undefined,
  schema: string,
  path: SearchPath,
): readonly T[] {
  if (named === undefined) return []
  if (schema !== '') return named.filter((one) => one.schema === schema)
  if (path === undefined) return named
  return named.filter(
    (one) => one.schema === 'pg_catalog' || one.schema === temporary || path.includes(one.schema),
  )
}

function isFirst(
  one: CatalogueFunction,
  meant: readonly CatalogueFunction[],
  path: readonly string[],
): boolean {
  const place = (schema: string) => (schema === 'pg_catalog' ? -1 : path.indexOf(schema))
  return meant.every((other) => other.signature !== one.signature || place(other.schema) >= place(one.schema))
}

function* definitions(data: CatalogueData): Generator<Parameters<Stored['read']>> {
  for (const { query, rules = [], policies = [] } of data.relations) {
    if (query !== undefined) yield ['statements', query]
    for (const { definition } of rules) yield ['rule', definition]
    for (const policy of policies) yield ['condition', policy]
  }
  for (const { body } of data.functions) if (body !== undefined) yield ['statements', body]
  for (const { checks } of data.domains) for (const check of checks) yield ['condition', check]
}
