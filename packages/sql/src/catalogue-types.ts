import type { Analysis, ColumnRef, Lineage } from '@portcullis/kernel'
import type { Stored } from './stored.ts'
import type { Change, StatementAnalysis } from './types.ts'

/**
 * What a target's own catalogue says, as plain data: what lies outside of `pg_catalog` and `information_schema`, and the
 * functions of `pg_catalog` that nobody here vouches for by name. Everything may be left out (a bound, a right that the
 * reader lacks): what is not here is judged by its text alone.
 */
export interface CatalogueData {
  readonly functions: readonly CatalogueFunction[]
  readonly relations: readonly CatalogueRelation[]
  /** Whose columns are known: these include what `pg_catalog` and `information_schema` have. */
  readonly tables: readonly CatalogueTable[]
  readonly operators: readonly (CatalogueName & { readonly function: number })[]
  readonly casts: readonly CatalogueCast[]
  readonly domains: readonly (CatalogueName & { readonly checks: readonly string[] })[]
}

/** Both as the catalogue spells them. */
export interface CatalogueName {
  readonly schema: string
  readonly name: string
}

export interface CatalogueFunction extends CatalogueName {
  /** Its object id, by which triggers, operators and casts name it. */
  readonly id: number
  readonly argumentsMin: number
  /** -1: any number (variadic). */
  readonly argumentsMax: number
  /** The same for functions whose arguments have the same types. */
  readonly signature: string
  readonly kind: 'function' | 'procedure' | 'aggregate' | 'window'
  /** Of an aggregate: the least settled of the functions that it is made of. */
  readonly volatility: 'immutable' | 'stable' | 'volatile'
  readonly securityDefiner: boolean
  /** `internal` and `c` of an aggregate where all that it is made of are. */
  readonly language: string
  /** The statements of a function in `language sql`, parted by `;`. */
  readonly body?: string
  /** The search path that its own SET clause gives it. */
  readonly searchPath?: readonly string[]
  /** It takes one row (or anything), so that `t.f` calls it. */
  readonly takesRow: boolean
  /** What arguments are that a call leaves out, parted by commas. */
  readonly defaults?: string
  /** pg_proc.proargnames and proargmodes: names ('' where an argument has none) and `i`, `o`, `b`, `v` or `t` of each. */
  readonly argumentNames?: readonly string[]
  readonly argumentModes?: string
  /** Columns of the rows that it returns, where a type says so; none: a value; absent: rows of whatever columns. */
  readonly rowType?: readonly string[]
}

export interface CatalogueRelation extends CatalogueName {
  /** pg_class.relkind. */
  readonly kind: string
  /** A view's query, from pg_get_viewdef. */
  readonly query?: string
  /** WITH CHECK OPTION: what is put in through it must be seen through it. */
  readonly checked?: boolean
  readonly rules?: readonly CatalogueRule[]
  readonly triggers?: readonly CatalogueTrigger[]
  /** Conditions of its row security, where that holds for the role that read the catalogue. */
  readonly policies?: readonly string[]
  /** The wrapper of a foreign table. */
  readonly wrapper?: string
}

export interface CatalogueTable extends CatalogueName {
  /** Its object id, by which a RowDescription names it. */
  readonly id: number
  /** pg_class.relkind. */
  readonly kind: string
  /** By attribute number, the first being 1; null: dropped. */
  readonly columns?: readonly (string | null)[]
  /** The type of each, its number and its modifier; of a system table's none. */
  readonly types?: readonly (readonly [type: number, modifier: number])[]
  /** What each generated column is computed by. */
  readonly generated?: Readonly<Record<string, string>>
  /** Whose partition or child it is, by id. */
  readonly parents?: readonly number[]
  /** Tables whose rows change with its own, by their foreign keys. */
  readonly cascades?: readonly number[]
  /** Of a materialized view. */
  readonly query?: string
}

/** A type by its number in pg_type, and its modifier, -1 for none. */
export interface ColumnType {
  readonly type: number
  readonly modifier: number
}

export interface CatalogueRule {
  readonly event: Change
  /** From pg_get_ruledef. */
  readonly definition: string
  /** It takes the place of what was asked for, always. */
  readonly replaces: boolean
}

export interface CatalogueTrigger {
  readonly events: readonly Change[]
  readonly function: number
}

export interface CatalogueCast {
  /** The name of the type that it makes. */
  readonly type: string
  readonly function: number
  readonly context: 'explicit' | 'assignment' | 'implicit'
}

/**
 * Schemas in which a name without one is looked for, in order, as `current_schemas(false)` gives them. undefined: not
 * known, so a name may stand for whatever has that name in any schema.
 */
export type SearchPath = readonly string[] | undefined

export interface Catalogue {
  /**
   * For sessions with this search path. Kept for a bounded number of them. `outdated`: what stands here may have changed
   * since, so it adds to what the text says and takes nothing away.
   */
  under(path: SearchPath, outdated?: boolean): Refiner
  /** Parses the definitions that no session has met yet, in slices, so that no session waits for them. */
  warm(): Promise<void>
  readonly stored: Stored
}

export interface Refiner {
  /**
   * What the statement does where its names stand for what this catalogue says: functions that only read are no longer
   * `execute`; views, rules, triggers, operators and casts add what they do. The same analysis where nothing is added or
   * taken, and the same refined one for the same analysis.
   */
  refine(analysis: StatementAnalysis): StatementAnalysis
  /** Of a statement as `refine` or `resolveNames` gave it, or as it was read. The same for the same statement. */
  lineage(analysis: Analysis): Lineage
  /** The column that a RowDescription names by its table's object id and its number there. */
  columnAt(table: number, attribute: number): ColumnRef | undefined
  /** Of a column as a lineage of this catalogue has it. */
  typeOf(column: ColumnRef): ColumnType | undefined
}
