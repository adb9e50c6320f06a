// Reads corpus/lineage for the tests: what leaks a masked column, in many ways, and what does not. Every value of the masked
// columns is a canary, so that whoever sees a piece of one knows where it came from.
import { readFileSync } from 'node:fs'

export interface Form {
  readonly kind: 'attack' | 'benign'
  /** How an attack leaks it: in rows, into another place, by what can be asked, by an error or notice. */
  readonly by: 'rows' | 'copies' | 'reads' | 'raises'
  readonly name: string
  /** It asks what nobody can read, so that its twin is lost, too. */
  readonly isLost: boolean
  /** One or more, parted by `;`. */
  readonly sql: string
}

/** As policy would name them. */
export const maskedColumns: readonly string[] = ['people.ssn', 'people_log.ssn', 'people_base.ssn']

const folder = new URL('../../corpus/lineage/', import.meta.url)

export function lineageForms(): readonly Form[] {
  return ['attacks.sql', 'benign.sql'].flatMap(formsOf)
}

/** The same question about tables that nobody masks. */
export function twinOf(sql: string): string {
  return sql
    .replaceAll('people', 'pets')
    .replaceAll('peopl\\0065', 'pet\\0073')
    .replaceAll(/<([~?])>/g, '<$1$1>')
}

/** Makes both, with `count` rows each, at least 5. Only the first have canaries. */
export function lineageSeed(count: number): string {
  const seed = readFileSync(new URL('seed.sql', folder), 'utf8')
  const filled = (first: number) => seed.replace(/^ROWS$/m, () => rows(count, first))
  const extensions = ['hstore', 'citext', 'pg_trgm', 'pgcrypto', 'tablefunc', 'dblink']
  return [...extensions.map((name) => `create extension ${name};`), filled(0), twinOf(filled(count))].join(
    '\n',
  )
}

/** Nothing else in the database has six characters of one in a row. */
export function canaryOf(at: number): string {
  let state = (at + 1) * 2654435761
  const sign = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return 'bcdfghjkmnpqrstvwxz23456789'[(state >>> 8) % 27]
  }
  return `cnry${Array.from({ length: 16 }, sign).join('')}`
}

function rows(count: number, first: number): string {
  const all = Array.from({ length: count }, (_, at) => at + 1)
  const people = all.map(
    (id) => `(${id}, 'name ${id}', '${canaryOf(first + id)}', 'twin ${id}', ${(id % 3) + 1})`,
  )
  const logs = all.map((id) => `(${id}, '${canaryOf(first + id)}', '2026-${id % 2 === 0 ? '03' : '09'}-01')`)
  return [
    `insert into people (id, name, ssn, twin, team) values ${people};`,
    `insert into people_log values ${logs}, ${logs};`,
    `insert into people_child select id, ssn, 'more' from people;`,
    `insert into people_teams values (1, 'red', 1), (2, 'green', 2), (3, 'blue', 3);`,
  ].join('\n')
}

function formsOf(file: string): readonly Form[] {
  return readFileSync(new URL(file, folder), 'utf8')
    .split('\n\n')
    .flatMap((block) => {
      const [head = '', ...lines] = block.split('\n')
      const found = /^-- (attack|benign)(?: (copies|reads|raises))?: (.*)$/.exec(head)
      if (found === null) return []
      const [, kind, by = 'rows', name = ''] = found
      return [{ kind, by, name, isLost: name.endsWith('(lost)'), sql: lines.join('\n').trim() } as Form]
    })
}
