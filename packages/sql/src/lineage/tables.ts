// The tables and views of a catalogue, their columns as sources, and who shares them by inheritance. Pure but for what it
// remembers. Refuses to choose where a name may stand for several.
import type { ColumnRef, TableRef } from '@portcullis/kernel'
import type { CatalogueTable, ColumnType, SearchPath } from '../catalogue-types.ts'

export interface StoredTable {
  readonly table: CatalogueTable
  /** By attribute number less 1; undefined: dropped. */
  readonly refs: readonly (ColumnRef | undefined)[]
}

export interface Tables {
  /** All that the name may mean: several where a session's own table may stand before another, or the path is not known. */
  named(schema: string, name: string, path: SearchPath): readonly StoredTable[]
  byId(id: number): StoredTable | undefined
  /** The table that a column is of. */
  of(ref: ColumnRef): StoredTable | undefined
  typeOf(ref: ColumnRef): ColumnType | undefined
}

const temporary = 'pg_temp'
const system = 'pg_catalog'

export function createTables(all: readonly CatalogueTable[]): Tables {
  const byName = Map.groupBy(all, ({ name }) => name)
  const byId = new Map(all.map((table) => [table.id, table]))
  const children = new Map<number, CatalogueTable[]>()
  for (const table of all)
    for (const parent of table.parents ?? []) {
      const siblings = children.get(parent)
      if (siblings === undefined) children.set(parent, [table])
      else siblings.push(table)
    }
  const stored = new Map<CatalogueTable, StoredTable>()
  const owners = new WeakMap<ColumnRef, StoredTable>()

  function storedOf(table: CatalogueTable): StoredTable {
    let found = stored.get(table)
    if (found === undefined) {
      const kin = kinOf(table)
      const refs = (table.columns ?? []).map((column) =>
        column === null
          ? undefined
          : Object.freeze({
              schema: table.schema,
              table: table.name,
              column,
              ...(kin.length > 0 && { kin }),
            }),
      )
      found = { table, refs }
      for (const ref of refs) if (ref !== undefined) owners.set(ref, found)
      stored.set(table, found)
    }
    return found
  }

  function kinOf(table: CatalogueTable): readonly TableRef[] {
    const above = reached(table, ({ parents = [] }) => parents.flatMap((id) => byId.get(id) ?? []))
    const below = reached(table, ({ id }) => children.get(id) ?? [])
    const kin = new Set([...above, ...below])
    kin.delete(table)
    return Object.freeze([...kin].map(({ schema, name }) => Object.freeze({ schema, table: name })))
  }

  return {
    byId(id) {
      const table = byId.get(id)
      return table && storedOf(table)
    },
    of: (ref) => owners.get(ref),
    typeOf(ref) {
      const owner = owners.get(ref)
      const [type, modifier] = owner?.table.types?.[owner.refs.indexOf(ref)] ?? []
      return type === undefined || modifier === undefined ? undefined : { type, modifier }
    },
    named: (schema, name, path) => meant(byName.get(name) ?? [], schema, path).map(storedOf),
  }
}

function meant(
  named: readonly CatalogueTable[],
  schema: string,
  path: SearchPath,
): readonly CatalogueTable[] {
  if (schema !== '') return named.filter((one) => one.schema === schema)
  if (path === undefined) return named
  const first = (path.includes(system) ? path : [system, ...path]).find((place) =>
    named.some((one) => one.schema === place),
  )
  return named.filter((one) => one.schema === first || one.schema === temporary)
}

function reached(
  from: CatalogueTable,
  next: (table: CatalogueTable) => readonly CatalogueTable[],
): ReadonlySet<CatalogueTable> {
  const found = new Set<CatalogueTable>()
  const waiting = [from]
  for (let table = waiting.pop(); table !== undefined; table = waiting.pop()) {
    if (found.has(table)) continue
    found.add(table)
    waiting.push(...next(table))
  }
  return found
}
