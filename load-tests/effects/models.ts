/**
 * SQL that language models wrote for databases that are not here (BIRD mini-dev, read in place, see SOURCES.md there).
 * The tables are made to fit: what a statement lacks is taken from the server's own errors, with column types tried until
 * it plans. Which tables a query uses does not depend on that.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SqlAnalyzer, StatementAnalysis } from '@portcullis/sql'
import { type Opinion, opinionOf } from './oracle.ts'
import type { Answer, Asking } from './tap.ts'

const folder = join(import.meta.dirname, '../../../shared/data/bird-llm-sql')
const triesMax = 40
const separator = '\t----- bird -----\t'

export interface ModelQuery {
  readonly model: string
  readonly sql: string
}

/** undefined where the data is not here. */
export function modelQueries(): readonly ModelQuery[] | undefined {
  if (!existsSync(folder)) return undefined
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => {
      const byId: Record<string, string> = JSON.parse(readFileSync(join(folder, name), 'utf8'))
      return Object.values(byId).map((value) => ({
        model: name.replace('.json', ''),
        sql: (value.split(separator)[0] ?? '').trim().replace(/;\s*$/, ''),
      }))
    })
}

export async function judgeModelQuery(
  { sql }: ModelQuery,
  analyzer: SqlAnalyzer,
  asking: Asking,
): Promise<{ readonly analyses: readonly StatementAnalysis[]; readonly opinion: Opinion }> {
  const bytes = Buffer.from(sql)
  const analyses = analyzer.analyzeNow(bytes, 0, bytes.length)
  const [only] = analyses
  if (only === undefined || analyses.length > 1) return { analyses, opinion: none }
  await asking.ask('drop schema if exists model cascade; create schema model; set search_path = model')
  const tables = new Tables(only)
  for (let tries = 0; tries < triesMax; tries++) {
    await asking.ask(tables.definition())
    const answer = await asking.ask(`explain ${sql}`)
    if (answer.code === '') break
    if (!tables.mend(answer, sql)) return { analyses, opinion: none }
  }
  return {
    analyses,
    opinion: await opinionOf(sql, { refined: analyses, withoutBodies: analyses, traced: [] }, asking),
  }
}

const none: Opinion = { writes: undefined, tables: undefined }
const types = ['text', 'numeric', 'timestamp', 'integer']

class Tables {
  readonly #columns = new Map<string, Map<string, string>>()
  readonly #tried = new Set<string>()

  constructor({ objects }: StatementAnalysis) {
    for (const { kind, name, columns } of objects)
      if (kind === 'table')
        this.#columns.set(name, new Map(columns.filter((one) => one !== '*').map((one) => [one, 'text'])))
    for (const columns of this.#columns.values()) if (columns.size === 0) columns.set('id', 'text')
  }

  definition(): string {
    const made = [...this.#columns].map(([name, columns]) => {
      const list = [...columns].map(([column, type]) => `${quoted(column)} ${type}`).join(', ')
      return `create table ${quoted(name)} (${list})`
    })
    return `drop schema model cascade; create schema model; ${made.join('; ')}`
  }

  /** Changes what the error asks for; false where nothing can be done about it. */
  mend({ code, message, position }: Answer, sql: string): boolean {
    if (code === '42P01') {
      const [, name] = /relation "(.+)" does not exist/.exec(message) ?? []
      if (name === undefined || this.#columns.has(name)) return false
      this.#columns.set(name, new Map([['id', 'text']]))
      return true
    }
    if (code === '42703') return this.#addColumn(message, sql)
    if (code === '42702') return this.#dropColumn(message)
    return this.#changeType(sql, position)
  }

  #addColumn(message: string, sql: string): boolean {
    const [, qualifier, quotedName, plain] =
      /column (?:(\w+)\.)?(?:"(.+?)"|(\S+)) does not exist/.exec(message) ?? []
    const name = quotedName ?? plain ?? ''
    const alias = qualifier && new RegExp(`"?(\\w+)"?\\s+(?:as\\s+)?"?${qualifier}"?\\b`, 'i').exec(sql)?.[1]
    const wanted = [alias, alias?.toLowerCase(), qualifier]
    const known = [...this.#columns.keys()]
    const table =
      known.find((one) => wanted.includes(one)) ?? known.find((one) => !this.#columns.get(one)?.has(name))
    if (table === undefined || name === '' || this.#isTried(`add ${table}.${name}`)) return false
    this.#columns.get(table)?.set(name, 'text')
    return true
  }

  #dropColumn(message: string): boolean {
    const [, name = ''] = /column reference "(.+)" is ambiguous/.exec(message) ?? []
    const having = [...this.#columns.values()].filter((columns) => columns.has(name))
    having.at(-1)?.delete(name)
    return having.length > 1
  }

  /** The column nearest to where the server stopped gets its next type. */
  #changeType(sql: string, position: number): boolean {
    const at = [...sql].slice(0, Math.max(position - 1, 0)).join('').length
    const near = [...sql.matchAll(/"([^"]+)"|\b([a-z_]\w*)\b/gi)]
      .map((match) => ({
        name: match[1] ?? (match[2] ?? '').toLowerCase(),
        away: Math.abs(match.index - at),
      }))
      .sort((left, right) => left.away - right.away)
    for (const { name } of near)
      for (const columns of this.#columns.values()) {
        const type = columns.get(name)
        const next = types[types.indexOf(type ?? '') + 1]
        if (type === undefined || next === undefined) continue
        columns.set(name, next)
        return true
      }
    return false
  }

  #isTried(what: string): boolean {
    if (this.#tried.has(what)) return true
    this.#tried.add(what)
    return false
  }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
