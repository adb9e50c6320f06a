// The state of one walk over one statement's tree: what was found so far, and which names stand for what at this point
// of the text (CTEs, aliases). Refuses to know any statement: those are in statements-*.ts.
import type { Effect, TargetObject, Where } from '@portcullis/kernel'
import { tellsCredential } from './credentials.ts'
import { type Functions, type FunctionUse, unvouched } from './functions.ts'
import { isTree, type Tree, type TreeNode } from './grammar.ts'
import type { Call, Change, Facts, Name, NamedStatement, OpenCondition, OpenConditions } from './types.ts'

/** One SELECT (or DML) level: the tables its columns may come from. */
export interface Level {
  readonly outer: Level | undefined
  /** Alias or table name -> the table, or undefined for what is no table (CTE, subquery, function). */
  readonly ranges: Map<string, FoundObject | undefined>
  /** Names that the select list gives out: ORDER BY and GROUP BY may mean them. */
  readonly outputs: Set<string>
}

export interface Ctes {
  readonly outer: Ctes | undefined
  readonly names: Set<string>
}

export interface FoundObject {
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly effect: Effect
  readonly columns: Set<string>
}

export type Visit = (walk: Walk, type: string, node: TreeNode) => void

/** Deeper trees are not judged: the text is unknown. Well within this thread's stack. */
const depthMax = 800

/** PostgreSQL's own bound on the columns of a table. */
const columnsMax = 1600

class TooDeep extends Error {}

export class Walk {
  readonly effects = new Set<Effect>()
  /** But for those that a name has, of which a catalogue may know better. */
  readonly #own = new Set<Effect>()
  privileged = false
  #privilegedByName = false
  readonly #calls = new Map<string, Call>()
  readonly #operators = new Map<string, Name>()
  readonly #types = new Map<string, Name>()
  readonly #attributes = new Set<string>()
  /** Columns of which only the catalogue knows whose they are: several tables could have them. */
  readonly unplaced = new Set<string>()
  readonly #changes = new Set<Change>()
  /** Effects that a function's name has. */
  readonly #byName = new Set<Effect>()
  #statement: Omit<NamedStatement, 'beside'> | undefined
  literalsMatter = false
  /** Absent: no rows that were there before are changed. */
  where: Where | undefined
  #whereClosed: Where | undefined
  readonly #openConditions: OpenCondition[] = []
  /** Planned or stored, not run (EXPLAIN, a rule): only what planning itself can run keeps its effect. */
  planned = false
  /** The next query is what an INSERT inserts. */
  inserting = false
  /** Effect recorded for tables met on the way. */
  tableEffect: Effect = 'read'
  level: Level | undefined
  ctes: Ctes | undefined
  readonly functions: Functions
  readonly #visit: Visit
  readonly #objects = new Map<string, FoundObject>()
  #depth = 0

  constructor(functions: Functions, visit: Visit) {
    this.functions = functions
    this.#visit = visit
  }

  add(...effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (this.planned && !isDoneByPlanning(effect)) continue
      this.effects.add(effect)
      this.#own.add(effect)
    }
  }

  /** A function, by its name; `count` of its arguments. */
  call(schema: string, name: string, count: number): void {
    const use = this.functions.use(schema, name)
    this.#named(use)
    this.object('function', schema, name, use.effects.length > 0 ? 'execute' : 'read')
    this.#calls.set(`${schema}\0${name}\0${count}`, { schema, name, arguments: count })
  }

  operator(schema: string, name: string): void {
    // An operator of another schema calls that schema's function.
    if (schema !== '' && schema !== 'pg_catalog') {
      this.#named(unvouched)
      this.object('operator', schema, name, 'execute')
    }
    this.#operators.set(`${schema}\0${name}`, { schema, name })
  }

  /** A type that something is made into. */
  type(schema: string, name: string): void {
    if (schema !== 'pg_catalog') this.#types.set(`${schema}\0${name}`, { schema, name })
  }

  /** A name that is read from something: a column, or a function of a row. */
  attribute(name: string): void {
    this.#attributes.add(name)
  }

  /** A prepared statement or cursor. What is used is unknown until its session tells what the name stands for. */
  statement(
    kind: NamedStatement['kind'],
    action: NamedStatement['action'],
    name: string | undefined,
    { holds = false, args }: { readonly holds?: boolean; readonly args?: readonly Tree[] } = {},
  ): void {
    this.#statement = { kind, name, action, holds, planned: this.planned, ...(args && { args }) }
    this.literalsMatter = true
    if (action !== 'use') return
    this.effects.add('execute')
    this.effects.add('unknown')
  }

  get named(): NamedStatement | undefined {
    return this.#statement && { ...this.#statement, beside: [...this.#own.union(this.#byName)] }
  }

  /** A table is changed so. */
  change(...changes: readonly Change[]): void {
    if (!this.planned) for (const change of changes) this.#changes.add(change)
  }

  /** Existing rows are changed, those that a condition leaves. `open`: where its bind values decide which. */
  leaves(where: Where, open?: OpenCondition): void {
    if (this.planned) return
    this.where = widest(this.where, where)
    if (open === undefined) this.#whereClosed = widest(this.#whereClosed, where)
    else this.#openConditions.push(open)
  }

  /** Absent where no bind value decides anything. */
  get open(): OpenConditions | undefined {
    if (this.#openConditions.length === 0) return undefined
    const closed = this.effects.has('unknown') ? widest(this.#whereClosed, 'unknown') : this.#whereClosed
    return { ...(closed && { closed }), conditions: this.#openConditions }
  }

  /** What a catalogue may say more about, once the walk is over. */
  facts(planned: boolean): Facts {
    return {
      effects: [...this.#own],
      privileged: this.privileged,
      ...(this.where !== undefined && { where: this.where }),
      planned,
      changes: [...this.#changes],
      calls: [...this.#calls.values()],
      operators: [...this.#operators.values()],
      types: [...this.#types.values()],
      attributes: [...this.#attributes],
    }
  }

  #named(use: FunctionUse): void {
    for (const effect of use.effects) {
      if (this.planned && !isDoneByPlanning(effect)) continue
      this.effects.add(effect)
      this.#byName.add(effect)
    }
    if (use.privileged) this.#privilegedByName = true
    if (use.effects.length > 0) this.literalsMatter = true
  }

  get isPrivileged(): boolean {
    return this.privileged || this.#privilegedByName
  }

  /** Everything below, whatever it is: a node goes to its own visitor, a table is recorded. */
  tree(value: Tree | undefined): void {
    if (typeof value !== 'object' || value === null) return
    this.#depth += 1
    if (this.#depth > depthMax) throw new TooDeep('statement nested too deeply')
    if (Array.isArray(value)) {
      for (const item of value as readonly Tree[]) this.tree(item)
    } else if (isTree(value)) {
      const type = nodeType(value)
      if (type === undefined) this.fields(value)
      else this.#visit(this, type, inner(value, type))
    }
    this.#depth -= 1
  }

  /** The fields of a node that its visitor has nothing of its own to say about. */
  fields(node: TreeNode, except: readonly string[] = []): void {
    if (typeof node.relname === 'string' && typeof node.relpersistence === 'string') {
      this.table(node, this.tableEffect)
      return
    }
    if (typeof node.typemod === 'number' && Array.isArray(node.names)) this.type(...qualified(node.names))
    for (const field in node) {
      if (!except.includes(field)) this.tree(node[field])
    }
  }

  withTables<T>(effect: Effect, body: () => T): T {
    const before = this.tableEffect
    this.tableEffect = effect
    try {
      return body()
    } finally {
      this.tableEffect = before
    }
  }

  /** Records a RangeVar, unless it names a CTE in scope. */
  table(range: Tree | undefined, effect: Effect, columns: readonly string[] = []): FoundObject | undefined {
    if (!isTree(range)) return undefined
    const node = nodeType(range) === 'RangeVar' ? inner(range, 'RangeVar') : range
    const name = text(node.relname)
    const schema = text(node.schemaname)
    if (name === '') return undefined
    if (schema === '' && effect === 'read' && this.isCte(name)) return undefined
    if (schema === '' || schema === 'pg_catalog') this.#catalogue(name, effect)
    return this.object('table', schema, name, effect, columns)
  }

  object(
    kind: string,
    namespace: string,
    name: string,
    intended: Effect,
    columns: readonly string[] = [],
  ): FoundObject {
    const effect = (this.planned ? notRun[intended] : undefined) ?? intended
    const key = `${kind}\0${namespace}\0${name}\0${effect}`
    let found = this.#objects.get(key)
    if (found === undefined) {
      found = { kind, namespace, name, effect, columns: new Set() }
      this.#objects.set(key, found)
    }
    for (const column of columns) found.columns.add(column)
    return found
  }

  #catalogue(name: string, effect: Effect): void {
    if (catalogueSecrets.has(name)) this.privileged = true
    if (effect === 'read' || !name.startsWith('pg_')) return
    // Who changes the catalogue needs no GRANT, and pg_settings is SET by other means.
    this.privileged = true
  }

  isCte(name: string): boolean {
    for (let scope = this.ctes; scope !== undefined; scope = scope.outer) {
      if (scope.names.has(name)) return true
    }
    return false
  }

  objects(): readonly TargetObject[] {
    const unplaced: FoundObject = {
      ...{ kind: 'column', namespace: '', name: '', effect: 'read', columns: this.unplaced },
    }
    const found = [...this.#objects.values(), ...(this.unplaced.size > 0 ? [unplaced] : [])]
    return found.map(({ kind, namespace, name, effect, columns }) => ({
      kind,
      namespace: shown(namespace),
      name: shown(name),
      effect,
      // More than a table can have: the text names them to be long, and all of them is what it comes to.
      columns: columns.size > columnsMax ? ['*'] : [...columns].map(shown),
    }))
  }
}

const byWidth: readonly Where[] = ['none', 'always', 'unknown', 'some', 'never']

export function widest(one: Where | undefined, other: Where | undefined): Where | undefined {
  return byWidth.find((where) => where === one || where === other)
}

/** Catalogue tables and views that hold credentials, connection strings or the server's access rules. */
const catalogueSecrets = new Set([
  'pg_authid',
  'pg_file_settings',
  'pg_hba_file_rules',
  'pg_ident_file_mappings',
  'pg_shadow',
  'pg_subscription',
  'pg_user_mapping',
  'pg_user_mappings',
])

/** A quoted name or a path can hold a connection string too. */
function shown(name: string): string {
  return tellsCredential(name) ? '***' : name
}

/** What EXPLAIN does not carry out, and what is left of it. */
export function isDoneByPlanning(effect: Effect): boolean {
  return notRun[effect] === undefined
}

const notRun: Readonly<Partial<Record<Effect, Effect>>> = {
  write: 'read',
  delete: 'read',
  define: 'read',
  export: 'read',
  grant: 'read',
}

export function nodeType(node: TreeNode): string | undefined {
  let type: string | undefined
  for (const field in node) {
    if (type !== undefined) return undefined
    type = field
  }
  const first = type?.charCodeAt(0) ?? 0
  return first >= 0x41 && first <= 0x5a ? type : undefined
}

export function inner(node: TreeNode, type: string): TreeNode {
  const value = node[type]
  return isTree(value) ? value : {}
}

/** The node of this type, wrapped or bare, or undefined. */
export function only(value: Tree | undefined, type: string): TreeNode | undefined {
  return isTree(value) && isTree(value[type]) ? value[type] : undefined
}

export function list(value: Tree | undefined): readonly Tree[] {
  return Array.isArray(value) ? (value as readonly Tree[]) : []
}

export function node(value: Tree | undefined): TreeNode {
  return isTree(value) ? value : {}
}

export function text(value: Tree | undefined): string {
  return typeof value === 'string' ? value : ''
}

/** `{ String: { sval } }` -> its value, else empty. */
export function stringOf(value: Tree | undefined): string {
  return text(only(value, 'String')?.sval)
}

/** A list of String nodes such as a qualified name. */
export function names(value: Tree | undefined): readonly string[] {
  const items = isTree(value) && isTree(value.List) ? list(value.List.items) : list(value)
  return items.map(stringOf)
}

/** [schema, name] of a qualified name; a database in front is dropped. */
export function qualified(value: Tree | undefined): readonly [string, string] {
  const parts = names(value)
  return [parts.at(-2) ?? '', parts.at(-1) ?? '']
}

/** A string constant's value; undefined where the node is anything else. */
export function constantText(value: Tree | undefined): string | undefined {
  const constant = only(value, 'A_Const')
  if (constant === undefined) {
    const cast = only(value, 'TypeCast')
    return cast === undefined ? undefined : constantText(cast.arg)
  }
  const string = constant.sval
  return isTree(string) ? text(string.sval) : undefined
}
