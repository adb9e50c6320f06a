/**
 * What the server itself says of a statement, beside what the analyzer says. Does it write: it is run in a read-only
 * transaction, where PostgreSQL refuses every write to anything but temporary tables (SQLSTATE 25006). Which tables:
 * `EXPLAIN (VERBOSE, FORMAT JSON)`, without running it. A table that the plan lacks but the server has locked for the
 * statement was named and planned away.
 */
import type { StatementAnalysis } from '@portcullis/sql'
import type { Known } from './catalogues.ts'
import type { Answer, Asking } from './tap.ts'

export interface Opinion {
  /** undefined: the server did not say, because the statement failed for another reason or cannot be asked. */
  readonly writes: boolean | undefined
  readonly tables: TablesOpinion | undefined
}

interface TablesOpinion {
  /** `schema.name` of what the plan reads or changes and the analysis does not name. */
  readonly missed: readonly string[]
  /** What the analysis names and neither the plan nor the locks know. */
  readonly invented: readonly string[]
  /** What the analysis names, the server has locked and the planner needed no more. */
  readonly plannedAway: readonly string[]
}

/** What would not be undone by a rollback, ends a transaction, or waits for data. */
const notAsked =
  /^(PREPARE|DEALLOCATE|FETCH|MOVE|CLOSE|DISCARD|COPY|UNKNOWN|EMPTY|BEGIN|START TRANSACTION|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|ROLLBACK TO|PREPARE TRANSACTION|COMMIT PREPARED|ROLLBACK PREPARED|LISTEN|UNLISTEN|CHECKPOINT|LOAD)$/
const explained = /^(SELECT|VALUES|INSERT|UPDATE|DELETE|MERGE|DECLARE)$/

export async function opinionOf(
  sql: string,
  { refined: analyses, withoutBodies }: Known,
  asking: Asking,
): Promise<Opinion> {
  const none = { writes: undefined, tables: undefined }
  if (asking.status === 'E' || analyses.some(({ verb }) => notAsked.test(verb))) return none
  const only = analyses.length === 1 ? analyses[0] : undefined
  const inside = asking.status === 'T'
  await asking.ask(inside ? 'savepoint portcullis_oracle' : 'begin')
  try {
    const tables =
      only && explained.test(only.verb)
        ? await tablesOf(sql, only, withoutBodies[0] ?? only, asking)
        : undefined
    // After an error of the EXPLAIN the transaction takes nothing more.
    await asking.ask(inside ? 'rollback to portcullis_oracle' : 'rollback; begin')
    await asking.ask("set local transaction_read_only = on; set local statement_timeout = '20s'")
    return { writes: writesOf(await asking.ask(sql)), tables }
  } finally {
    await asking.ask(inside ? 'rollback to portcullis_oracle; release portcullis_oracle' : 'rollback')
  }
}

function writesOf({ code }: Answer): boolean | undefined {
  if (code === '25006') return true
  return code === '' ? false : undefined
}

async function tablesOf(
  sql: string,
  analysis: StatementAnalysis,
  withoutBodies: StatementAnalysis,
  { ask }: Asking,
): Promise<TablesOpinion | undefined> {
  const plan = await ask(`explain (verbose, format json) ${sql}`)
  if (plan.code !== '') return undefined
  const planned = new Set<string>()
  for (const [text] of plan.rows) relations(JSON.parse(text ?? 'null'), planned)
  const named = await relationsOf(analysis, ask)
  const known = new Set(named.flatMap(({ family }) => family))
  // What a plan shows in place of a view of PostgreSQL's own is not asked for: those are named as they are.
  const isOfSystem = (name: string) => /^(pg_catalog|information_schema)\./.test(name)
  const hasSystemView = named.some(({ kind, family }) => kind === 'v' && family.some(isOfSystem))
  const byText = new Set((await relationsOf(withoutBodies, ask)).map(({ name }) => name))
  const absent = named.filter(
    ({ name, kind, family }) => kind !== 'v' && byText.has(name) && !family.some((one) => planned.has(one)),
  )
  return {
    missed: [...planned].filter((one) => !known.has(one) && !(hasSystemView && isOfSystem(one))),
    invented: absent.filter(({ locked }) => !locked).map(({ name }) => name),
    plannedAway: absent.filter(({ locked }) => locked).map(({ name }) => name),
  }
}

interface Named {
  readonly name: string
  readonly kind: string
  /** Itself and what inherits from it, partitions included: a plan names those. */
  readonly family: readonly string[]
  readonly locked: boolean
}

/** How the server resolves the names of the analysis here and now. */
async function relationsOf({ objects }: StatementAnalysis, ask: Asking['ask']): Promise<readonly Named[]> {
  const names = objects
    .filter(({ kind, effect }) => kind === 'table' && effect !== 'define')
    .map(({ namespace, name }) => [namespace, name].filter(Boolean).map(quoted).join('.'))
  if (names.length === 0) return []
  const values = [...new Set(names)].map((name) => `('${name.replaceAll("'", "''")}')`).join(', ')
  const { rows, code, message } = await ask(`
    with recursive named (name) as (values ${values}),
      found as (select name, to_regclass(name)::oid as oid from named),
      family (name, oid) as (
        select name, oid from found
        union select family.name, inhrelid from family join pg_inherits on inhparent = family.oid)
    select found.name, coalesce(relkind, '?'),
      (select json_agg(regexp_replace(nspname, '^pg_temp_.*', 'pg_temp') || '.' || relname) from family
        join pg_class on pg_class.oid = family.oid join pg_namespace on pg_namespace.oid = relnamespace
        where family.name = found.name),
      exists (select from pg_locks where locktype = 'relation' and pid = pg_backend_pid() and relation = found.oid)
    from found left join pg_class on pg_class.oid = found.oid`)
  if (code !== '') throw new Error(`the oracle's own query failed: ${code} ${message}`)
  return rows.map(([name, kind, family, locked]) => ({
    name: name ?? '',
    kind: kind ?? '',
    family: JSON.parse(family ?? '[]'),
    locked: locked === 't',
  }))
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function relations(plan: unknown, into: Set<string>): void {
  if (typeof plan !== 'object' || plan === null) return
  if ('Relation Name' in plan && 'Schema' in plan) into.add(`${plan.Schema}.${plan['Relation Name']}`)
  for (const value of Object.values(plan)) relations(value, into)
}
