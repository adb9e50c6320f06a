// An analysis and a catalogue -> what the statement does where its names stand for what that catalogue says. Pure but for
// what it remembers. It follows views, rules, triggers, policies and the bodies of SQL functions; what it cannot follow
// counts as `execute`, and what the catalogue does not have stays as the text alone says.
import type { Effect, TargetObject, Where } from '@portcullis/kernel'
import type { Index } from './catalogue.ts'
import type { CatalogueFunction, CatalogueRelation, Refiner, SearchPath } from './catalogue-types.ts'
import { knownUse, unvouched } from './functions.ts'
import { effectOrder, type Judgement } from './judge.ts'
import { createLineages } from './lineage/lineage.ts'
import type { StoredKind } from './stored.ts'
import type { Call, Change, Facts, StatementAnalysis } from './types.ts'
import { isDoneByPlanning, widest } from './walk.ts'

/** Views of views of views: deeper is unknown. */
const depthMax = 32
const objectsMax = 2000

type Judged = Pick<Judgement, 'verb' | 'effects' | 'privileged' | 'objects' | 'where' | 'facts'>

/** What a catalogue changes; `alike` is the same for all texts that it changes so. */
type Refinement = Pick<StatementAnalysis, 'effects' | 'privileged' | 'objects' | 'where' | 'alike'>

/** What was found on the way. */
class Found {
  readonly effects = new Set<Effect>()
  privileged = false
  where: Where | undefined
  readonly objects = new Map<string, TargetObject>()

  add(effects: Iterable<Effect>, privileged: boolean, planned: boolean): void {
    for (const effect of effects) if (!planned || isDoneByPlanning(effect)) this.effects.add(effect)
    if (privileged) this.privileged = true
  }

  object(object: TargetObject): void {
    const key = `${object.kind}\0${object.namespace}\0${object.name}\0${object.effect}`
    const known = this.objects.get(key)
    const columns = known ? [...new Set([...known.columns, ...object.columns])] : object.columns
    if (this.objects.size < objectsMax) this.objects.set(key, known ? { ...known, columns } : object)
    else this.effects.add('unknown')
  }

  /** What came of something that is used here. */
  take(used: Found, planned: boolean): void {
    const isRead = [...used.objects.values()].some(({ kind }) => kind !== 'function')
    // To compute something is no reading of anything.
    const effects = [...used.effects].filter((effect) => effect !== 'read' || isRead)
    this.add(effects, used.privileged, planned)
    if (!planned) this.where = widest(this.where, used.where)
    for (const object of used.objects.values()) this.object(planned ? asRead(object) : object)
  }
}

export function createRefiner(index: Index, path: SearchPath, outdated: boolean): Refiner {
  const refined = new WeakMap<StatementAnalysis, StatementAnalysis>()
  // Texts that differ in literals only share their facts.
  const byFacts = new WeakMap<Facts, Refinement | 'same'>()
  const walker = new Walker(index, path)
  return {
    lineage: createLineages(index, path),
    columnAt: (table, attribute) => index.lineage.tables.byId(table)?.refs[attribute - 1],
    typeOf: (column) => index.lineage.tables.typeOf(column),
    refine(analysis) {
      const { facts } = analysis
      if (facts === undefined) return analysis
      let change = byFacts.get(facts)
      if (change === undefined) {
        const found = new Found()
        walker.statement(analysis, found, 0)
        if (outdated) found.add(analysis.effects, analysis.privileged, false)
        change = changeOf(analysis, found)
        byFacts.set(facts, change)
      }
      if (change === 'same') return analysis
      let result = refined.get(analysis)
      if (result === undefined) {
        const { where: _, ...rest } = analysis
        result = Object.freeze({ ...rest, ...change })
        refined.set(analysis, result)
      }
      return result
    },
  }
}

function changeOf(
  analysis: StatementAnalysis,
  { effects: found, privileged, objects: map, where: leaves }: Found,
): Refinement | 'same' {
  const effects = effectOrder.filter((effect) => found.has(effect))
  const objects = [...map.values()]
  const where = found.has('unknown') ? widest(leaves, 'unknown') : leaves
  const isSame =
    privileged === analysis.privileged &&
    where === analysis.where &&
    effects.join() === analysis.effects.join() &&
    objects.length === analysis.objects.length &&
    objects.every((object, at) => object.effect === analysis.objects[at]?.effect)
  return isSame ? 'same' : { effects, privileged, objects, ...(where && { where }), alike: {} }
}

class Walker {
  readonly #index: Index
  readonly #path: SearchPath
  readonly #functions = new Map<CatalogueFunction, Found>()
  readonly #relations = new Map<CatalogueRelation, Map<string, Found>>()
  readonly #others: Map<string, Walker>

  constructor(index: Index, path: SearchPath, others = new Map<string, Walker>()) {
    this.#index = index
    this.#path = path
    this.#others = others
    others.set(JSON.stringify(path), this)
  }

  /** For functions with a search path of their own: one for each, or functions that call each other took for ever. */
  #with(path: SearchPath): Walker {
    return path === undefined
      ? this
      : (this.#others.get(JSON.stringify(path)) ?? new Walker(this.#index, path, this.#others))
  }

  statement(judged: Judged, into: Found, depth: number): void {
    const { facts } = judged
    if (facts === undefined || depth > depthMax) {
      into.add(judged.effects, judged.privileged, false)
      into.where = widest(into.where, judged.where)
      if (depth > depthMax) into.add(['unknown'], false, false)
      for (const object of judged.objects) into.object(object)
      return
    }
    const { planned } = facts
    into.add(this.#ownEffects(judged, facts), facts.privileged, planned)
    into.where = widest(into.where, facts.where)
    const uses = new Map<string, boolean>()
    for (const call of facts.calls) {
      const does = this.#call(call, into, planned, depth)
      const key = `function\0${call.schema}\0${call.name}`
      uses.set(key, does || uses.get(key) === true)
    }
    for (const { schema, name } of facts.operators)
      uses.set(`operator\0${schema}\0${name}`, this.#operator(schema, name, into, planned, depth))
    this.#hidden(judged, facts, into, depth)
    for (const object of judged.objects) {
      const does = uses.get(`${object.kind}\0${object.namespace}\0${object.name}`)
      into.object(does === undefined ? object : { ...object, effect: does ? 'execute' : 'read' })
      if (object.kind === 'table') this.#table(object, facts, into, depth)
    }
  }

  /** A procedure whose statements are all here is not unknown. */
  #ownEffects({ verb }: Judged, { effects, calls }: Facts): readonly Effect[] {
    const [call] = calls
    if (verb !== 'CALL' || call === undefined) return effects
    const meant = this.#index.calls(call.schema, call.name, call.arguments, this.#path)
    const isOpen = meant.length > 0 && meant.every(({ body }) => body !== undefined)
    return isOpen ? effects.filter((effect) => effect !== 'unknown') : effects
  }

  /** Whether it does more than read. */
  #call({ schema, name, arguments: count }: Call, into: Found, planned: boolean, depth: number): boolean {
    const meant = this.#index.calls(schema, name, count, this.#path)
    const schemas = meant.length === 0 ? [schema] : [schema, ...meant.map((one) => one.schema)]
    const known = schemas.map((one) => knownUse(one, name)).filter((use) => use !== undefined)
    if (meant.length === 0 && known.length === 0) known.push(this.#index.functions.use(schema, name))
    let does = false
    for (const { effects, privileged } of known) {
      into.add(effects, privileged, planned)
      if (effects.length > 0) does = true
    }
    for (const one of meant) if (this.#use(one, into, planned, depth)) does = true
    return does
  }

  #operator(schema: string, name: string, into: Found, planned: boolean, depth: number): boolean {
    const meant = this.#index.operators(schema, name, this.#path)
    let does = false
    for (const one of meant) if (this.#use(one, into, planned, depth)) does = true
    if (meant.length > 0 || schema === '' || schema === 'pg_catalog') return does
    into.add(unvouched.effects, unvouched.privileged, planned)
    return true
  }

  /** What is called without being named: casts, functions of a row, the equality of a join. */
  #hidden(
    { effects }: Judged,
    { types, attributes, operators, planned }: Facts,
    into: Found,
    depth: number,
  ): void {
    for (const { name } of types) this.#cast(name, into, planned, depth)
    for (const name of attributes)
      for (const one of this.#index.rowFunctions(name, this.#path)) this.#use(one, into, planned, depth)
    for (const name of impliedOperators)
      if (!operators.some((one) => one.schema === '' && one.name === name))
        this.#operator('', name, into, planned, depth)
    const { anywhere, changes } = this.#index.implicit
    for (const one of anywhere) this.#use(one, into, planned, depth)
    if (effects.includes('write')) for (const one of changes) this.#use(one, into, planned, depth)
  }

  #cast(type: string, into: Found, planned: boolean, depth: number): boolean {
    let does = false
    for (const one of this.#index.casts(type)) if (this.#use(one, into, planned, depth)) does = true
    for (const check of this.#index.checks(type)) {
      const found = new Found()
      this.#stored('condition', check, found, depth)
      if (this.#take(found, into, planned)) does = true
    }
    return does
  }

  #table(object: TargetObject, { changes, planned }: Facts, into: Found, depth: number): void {
    if (object.effect === 'define') return
    const events = eventsOf(object.effect, changes)
    for (const relation of this.#index.relations(object.namespace, object.name, this.#path))
      into.take(this.#relation(relation, events, object.effect, depth), planned)
  }

  /** Once for each relation and each way to change it: views over views over views would take for ever otherwise. */
  #relation(relation: CatalogueRelation, events: readonly Change[], effect: Effect, depth: number): Found {
    const key = events.join()
    const known = this.#relations.get(relation) ?? new Map<string, Found>()
    this.#relations.set(relation, known)
    const before = known.get(key)
    if (before !== undefined) return before
    const found = new Found()
    known.set(key, found)
    const { query, checked, rules = [], triggers = [], policies = [], wrapper } = relation
    const ruled = rules.filter(({ event }) => events.includes(event))
    const fired = triggers.filter((trigger) => trigger.events.some((event) => events.includes(event)))
    if (query !== undefined) {
      const isReplaced = fired.length > 0 || ruled.some(({ replaces }) => replaces)
      if (events.length > 0 && !isReplaced) this.#behind(query, events, effect, found, depth)
      // Of what an INSERT goes to nothing is read, unless the view's condition holds for what is put in.
      if (checked === true || events.join() !== 'insert') this.#stored('statements', query, found, depth)
    }
    for (const { definition } of ruled) this.#stored('rule', definition, found, depth)
    for (const policy of policies) this.#stored('condition', policy, found, depth)
    for (const { function: id } of fired) {
      const called = this.#index.functionById(id)
      if (called === undefined) found.add(unvouched.effects, false, false)
      else this.#use(called, found, false, depth)
    }
    // Another server, or a file or program of this one.
    if (wrapper !== undefined) found.add(['execute'], wrapper === 'file_fdw', false)
    return found
  }

  /** A view that can be changed shows one table, which its query names first. */
  #behind(query: string, events: readonly Change[], effect: Effect, into: Found, depth: number): void {
    const [shown] = this.#index.stored.read('statements', query)
    const base = shown?.objects.find(({ kind }) => kind === 'table')
    if (base === undefined) return
    into.object({ ...base, effect, columns: [] })
    for (const relation of this.#index.relations(base.namespace, base.name, this.#path))
      into.take(this.#relation(relation, events, effect, depth + 1), false)
  }

  #stored(kind: StoredKind, text: string, into: Found, depth: number): void {
    for (const judged of this.#index.stored.read(kind, text)) this.statement(judged, into, depth + 1)
  }

  /** Adds what a function does; whether that is more than to read. */
  #use(one: CatalogueFunction, into: Found, planned: boolean, depth: number): boolean {
    let found = this.#functions.get(one)
    if (found === undefined) {
      found = new Found()
      // Whoever calls himself does what the rest of him does; that he is not followed for ever is what counts.
      this.#functions.set(one, found)
      this.#function(one, found, depth)
    }
    return this.#take(found, into, planned)
  }

  #take(found: Found, into: Found, planned: boolean): boolean {
    into.take(found, planned)
    return [...found.effects].some((effect) => effect !== 'read')
  }

  #function(one: CatalogueFunction, found: Found, depth: number): void {
    const { language, volatility, body, searchPath } = one
    if (one.securityDefiner) found.add(['execute'], true, false)
    if (body !== undefined && depth < depthMax) {
      this.#with(searchPath).#stored('statements', body, found, depth)
      if ([...found.effects].some((effect) => effect !== 'read')) found.add(['execute'], false, false)
      return
    }
    const isNative = language === 'internal' || language === 'c'
    // A stable one may still run what it is given as SQL; of PostgreSQL's own it is known which do.
    const isVouched = volatility === 'immutable' || (volatility === 'stable' && one.schema === 'pg_catalog')
    if (!isNative || !isVouched) found.add(unvouched.effects, unvouched.privileged, false)
  }
}

/** JOIN USING, DISTINCT, GROUP BY, ORDER BY and CASE name none. */
const impliedOperators = ['=', '<', '>']

function eventsOf(effect: Effect, changes: readonly Change[]): readonly Change[] {
  if (effect === 'delete') return changes.filter((change) => change === 'delete' || change === 'truncate')
  return effect === 'write' ? changes.filter((change) => change === 'insert' || change === 'update') : []
}

function asRead(object: TargetObject): TargetObject {
  return isDoneByPlanning(object.effect) ? object : { ...object, effect: 'read' }
}
