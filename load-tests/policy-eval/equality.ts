/** Each statement held to every other spelling of it, and to what hides it in another: the same decision, or a stricter one. */
import type { Judge } from './judge.ts'
import { parses, spellingsOf } from './respell.ts'

export interface Tally {
  /** That PostgreSQL parses. */
  statements: number
  /** Said back by the parser's tree, as the same tree. */
  canonical: number
  spellings: number
  /** With neither. */
  alone: number
  /** What differs: decision, rules, or what rules may read. */
  readonly different: string[]
  /** What PostgreSQL does not parse and the policy let through. */
  readonly waved: string[]
  hidden: number
  readonly weaker: string[]
}

/** `every`: of the hiding places each statement is put in one of so many. */
export function tallyOf(texts: readonly string[], judge: Judge, every = 1): Tally {
  const tally: Tally = {
    ...{ statements: 0, canonical: 0, spellings: 0, alone: 0, hidden: 0 },
    ...{ different: [], waved: [], weaker: [] },
  }
  for (const [at, sql] of texts.entries()) {
    // No protocol can send one.
    if (sql.includes('\0')) continue
    const decided = judge.decide(sql)
    const spellings = spellingsOf(sql)
    if (spellings === undefined) {
      if (decided.rank === 0) tally.waved.push(sql)
      continue
    }
    const { canonical, others } = spellings
    tally.statements += 1
    if (canonical !== undefined) tally.canonical += 1
    else if (others.length === 0) tally.alone += 1
    for (const text of canonical === undefined ? others : [canonical, ...others]) {
      tally.spellings += 1
      const other = judge.decide(text)
      if (other.rank !== decided.rank || other.rules !== decided.rules || other.rests !== decided.rests)
        tally.different.push(`${sql}\n  as ${text}\n  ${decided.rules}, and ${other.rules}`)
    }
    for (const text of hidingPlaces(sql).filter((_, place) => (at + place) % every === 0)) {
      if (!parses(text)) continue
      tally.hidden += 1
      if (judge.decide(text).rank < decided.rank) tally.weaker.push(`${text}\n  in place of ${sql}`)
    }
  }
  return tally
}

const isQuery = /^\s*(select|with|insert|update|delete|merge|values|table)\b/i

/** Other statements, prepared ones, cursors, code, an outer query. */
function hidingPlaces(sql: string): readonly string[] {
  const one = sql.replace(/;\s*$/, '')
  return [
    `select 1; ${one}`,
    `${one}; select 1`,
    `prepare hidden as ${one}; execute hidden`,
    `declare hidden cursor for ${one}; fetch all from hidden`,
    ...(isQuery.test(one)
      ? [
          `with hidden as (${one}) select 1`,
          `select (${one})`,
          `copy (${one}) to stdout`,
          `explain analyze ${one}`,
          `create table hidden as ${one}`,
        ]
      : []),
    `do $hidden$ begin ${one}; end $hidden$`,
    `do $hidden$ begin execute $text$${one}$text$; end $hidden$`,
    `do language plpgsql U&'begin perform 1; end'; ${one}`,
  ]
}
