// The query that makes a catalogue's data, and its rows read. Refuses to send anything: whoever holds a connection does.
import type {
  CatalogueCast,
  CatalogueData,
  CatalogueFunction,
  CatalogueName,
  CatalogueRelation,
  CatalogueTable,
} from './catalogue-types.ts'

/** PostgreSQL before 11 keeps kinds of functions elsewhere. */
export const catalogueVersionMin = 110_000

/** Of each kind at most so many are read; what is left out is judged by its text. */
const rowsMax = {
  function: 20_000,
  relation: 50_000,
  table: 50_000,
  operator: 5000,
  cast: 5000,
  domain: 5000,
}

/**
 * One statement with rows `(kind, json)`, for `catalogueOf`. Everybody may run it. It must run with
 * `search_path = pg_catalog`, so that the definitions it gives name every schema. `version` as in server_version_num.
 */
export function catalogueQuery(version: number): string {
  // Generated columns came with 12, those that are computed when read with 18.
  const generated = version >= 120_000 ? "a.attgenerated <> ''" : 'false'
  const body = version >= 140_000 ? 'coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)' : 'p.prosrc'
  return `
with recursive
  support (aggregate, function) as (
    select aggfnoid::oid, unnest(array[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn,
      aggmtransfn, aggminvtransfn, aggmfinalfn])::oid from pg_aggregate where aggfnoid >= ${firstOwn}),
  aggregates (aggregate, volatility, native, definer) as (
    select aggregate, max(case provolatile when 'i' then 0 when 's' then 1 else 2 end),
      bool_and(lanname in ('internal', 'c')), bool_or(prosecdef)
    from support join pg_proc on pg_proc.oid = function join pg_language on pg_language.oid = prolang group by 1),
  functions as (
    select p.oid::int8 as id, n.nspname as schema, p.proname as name,
      p.pronargs - p.pronargdefaults as "argumentsMin",
      case when p.provariadic <> 0 then -1 else greatest(p.pronargs, case when p.prokind = 'p' then cardinality(p.proallargtypes) end)
        end as "argumentsMax",
      p.proargtypes::text as signature,
      case p.prokind when 'f' then 'function' when 'p' then 'procedure' when 'a' then 'aggregate' else 'window' end as kind,
      case coalesce(a.volatility, case p.provolatile when 'i' then 0 when 's' then 1 else 2 end)
        when 0 then 'immutable' when 1 then 'stable' else 'volatile' end as volatility,
      p.prosecdef or coalesce(a.definer, false) as "securityDefiner",
      case when a.native is false then 'sql' else l.lanname end as language,
      case when l.lanname = 'sql' and p.prokind <> 'a' then ${body} end as body,
      (select substr(one, 13) from unnest(p.proconfig) as one where one like 'search\\_path=%') as "searchPath",
      p.pronargs >= 1 and p.pronargs - p.pronargdefaults <= 1 and exists (
        select from pg_type t where t.oid = p.proargtypes[0] and (t.typtype in ('c', 'p') or
          t.typtype = 'd' and exists (select from pg_type b where b.oid = t.typbasetype and b.typtype = 'c'))) as "takesRow",
      pg_get_expr(p.proargdefaults, 0) as defaults, p.proargnames as "argumentNames", array_to_string(p.proargmodes, '') as "argumentModes",
      case when r.typtype = 'c' then (
        select json_agg(a.attname order by a.attnum) from pg_attribute a
        where a.attrelid = r.typrelid and a.attnum > 0 and not a.attisdropped)
        when r.typtype <> 'p' then '[]' end as "rowType"
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
      join pg_type r on r.oid = p.prorettype left join aggregates a on a.aggregate = p.oid
    where p.oid >= ${firstOwn} limit ${rowsMax.function}),
  relations as (
    select ${schemaOf('n.nspname')} as schema, c.relname as name, c.relkind as kind,
      case when c.relkind = 'v' then pg_get_viewdef(c.oid) end as query,
      (select true from unnest(c.reloptions) as one where one like 'check\\_option=%') as checked,
      case when c.relhasrules then (
        select json_agg(json_build_object(
          'event', case r.ev_type when '2' then 'update' when '3' then 'insert' else 'delete' end,
          'definition', pg_get_ruledef(r.oid), 'replaces', r.is_instead and r.ev_qual = '<>'))
        from pg_rewrite r where r.ev_class = c.oid and r.rulename <> '_RETURN' and r.ev_enabled <> 'D') end as rules,
      case when c.relhastriggers then (
        select json_agg(json_build_object('function', t.tgfoid::int8, 'events', array_remove(array[
          case when t.tgtype::int & 4 <> 0 then 'insert' end, case when t.tgtype::int & 16 <> 0 then 'update' end,
          case when t.tgtype::int & 8 <> 0 then 'delete' end, case when t.tgtype::int & 32 <> 0 then 'truncate' end], null)))
        from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D') end as triggers,
      case when c.relrowsecurity and row_security_active(c.oid) then (
        select json_agg(part) from pg_policy p, unnest(array[pg_get_expr(p.polqual, p.polrelid),
          pg_get_expr(p.polwithcheck, p.polrelid)]) as part where p.polrelid = c.oid and part is not null) end as policies,
      case when c.relkind = 'f' then (
        select w.fdwname from pg_foreign_table f join pg_foreign_server s on s.oid = f.ftserver
          join pg_foreign_data_wrapper w on w.oid = s.srvfdw where f.ftrelid = c.oid) end as wrapper
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
      and (not c.relispartition or c.relhasrules or c.relhastriggers or c.relrowsecurity or c.relkind = 'f')
    limit ${rowsMax.relation}),
  tables as (
    select c.oid::int8 as id, ${schemaOf('n.nspname')} as schema, c.relname as name, c.relkind as kind,
      (select json_agg(case when not a.attisdropped then a.attname end order by a.attnum) from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0) as columns,
      -- Of a domain what it is made of, as a result has it.
      (select json_agg(json_build_array(
          case when t.typtype = 'd' then t.typbasetype else a.atttypid end::int8,
          case when t.typtype = 'd' then t.typtypmod else a.atttypmod end) order by a.attnum)
        from pg_attribute a left join pg_type t on t.oid = a.atttypid
        where a.attrelid = c.oid and a.attnum > 0 and n.nspname not in ('pg_catalog', 'information_schema')) as types,
      (select json_object_agg(a.attname, pg_get_expr(d.adbin, d.adrelid)) from pg_attribute a
        join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid and ${generated}) as generated,
      (select json_agg(i.inhparent::int8) from pg_inherits i where i.inhrelid = c.oid) as parents,
      (select json_agg(k.conrelid::int8) from pg_constraint k where k.confrelid = c.oid and k.contype = 'f'
        and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd'))) as cascades,
      case when c.relkind = 'm' then pg_get_viewdef(c.oid) end as query
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c') and n.nspname <> 'pg_toast'
    -- Where there are too many, partitions of the past are missed least.
    order by c.relispartition, c.oid desc limit ${rowsMax.table}),
  operators as (
    select n.nspname as schema, o.oprname as name, o.oprcode::oid::int8 as function
    from pg_operator o join pg_namespace n on n.oid = o.oprnamespace where o.oid >= ${firstOwn} limit ${rowsMax.operator}),
  casts as (
    select t.typname as type, c.castfunc::int8 as function,
      case c.castcontext when 'i' then 'implicit' when 'a' then 'assignment' else 'explicit' end as context
    from pg_cast c join pg_type t on t.oid = c.casttarget where c.oid >= ${firstOwn} and c.castfunc <> 0 limit ${rowsMax.cast}),
  domain (oid, ancestor) as (
    select oid, oid from pg_type where typtype = 'd' and oid >= ${firstOwn}
    union select domain.oid, typbasetype from domain join pg_type on pg_type.oid = ancestor where typbasetype <> 0),
  domains as (
    select n.nspname as schema, t.typname as name, json_agg(pg_get_expr(c.conbin, 0)) as checks
    from domain join pg_constraint c on c.contypid = ancestor and c.contype = 'c' join pg_type t on t.oid = domain.oid
      join pg_namespace n on n.oid = t.typnamespace group by 1, 2 limit ${rowsMax.domain})
select 'function', json_strip_nulls(row_to_json(functions))::text from functions
union all select 'relation', json_strip_nulls(row_to_json(relations))::text from relations
union all select 'table', json_strip_nulls(row_to_json(tables))::text from tables
union all select 'operator', row_to_json(operators)::text from operators
union all select 'cast', row_to_json(casts)::text from casts
union all select 'domain', row_to_json(domains)::text from domains`
}

/** What initdb makes has lower object ids (FirstNormalObjectId). */
const firstOwn = 16_384

/** The schema of a session's own tables has the session's number in its name. */
function schemaOf(column: string): string {
  return `case when ${column} like 'pg\\_temp\\_%' then 'pg_temp' else ${column} end`
}

interface Row {
  readonly function: Omit<CatalogueFunction, 'searchPath'> & { readonly searchPath?: string }
  readonly relation: CatalogueRelation
  readonly table: CatalogueTable
  readonly operator: CatalogueName & { readonly function: number }
  readonly cast: CatalogueCast
  readonly domain: CatalogueName & { readonly checks: readonly string[] }
}

/** Rows of `catalogueQuery`, as they came. */
export function catalogueOf(rows: Iterable<readonly (string | null)[]>): CatalogueData {
  const found: { [Kind in keyof Row]: Row[Kind][] } = {
    function: [],
    relation: [],
    table: [],
    operator: [],
    cast: [],
    domain: [],
  }
  for (const [kind, json] of rows)
    if (kind && json && kind in found) found[kind as keyof Row].push(JSON.parse(json))
  return {
    functions: found.function.map(({ searchPath, ...one }) =>
      searchPath === undefined ? one : { ...one, searchPath: schemasOf(searchPath) },
    ),
    relations: found.relation,
    tables: found.table,
    operators: found.operator,
    casts: found.cast,
    domains: found.domain,
  }
}

/** As a setting's value lists them. `"$user"` is no schema here: whose it is changes with the role. */
export function schemasOf(searchPath: string): readonly string[] {
  return Array.from(searchPath.matchAll(/"((?:[^"]|"")*)"|([^",\s]+)/g), ([, quoted, plain]) =>
    quoted === undefined ? (plain ?? '').toLowerCase() : quoted.replaceAll('""', '"'),
  )
}
