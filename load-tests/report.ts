/** What every measurement prints and keeps: a table on the screen and load-tests/results/NAME.json, measured in this run. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Row {
  readonly row: string
  readonly value: number
  readonly unit: string
  /** The other side, measured in the same run, in the same unit. */
  readonly against?: number
  /** What is aimed at, of the ratio where there is another side, else of the value. */
  readonly aim?: { readonly atMost: number } | { readonly atLeast: number }
}

export function report(name: string, rows: readonly Row[]): void {
  const full = rows.map(({ row, value, unit, against, aim }) => {
    const ratio = against === undefined ? null : round(value / against)
    const judged = against === undefined ? value : value / against
    const met = aim === undefined ? null : 'atMost' in aim ? judged <= aim.atMost : judged >= aim.atLeast
    return {
      row,
      value: round(value),
      unit,
      against: against === undefined ? null : round(against),
      ratio,
      aim: wording(aim),
      met,
    }
  })
  console.table(full)
  const dir = join(import.meta.dirname, 'results')
  mkdirSync(dir, { recursive: true })
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  }).trim()
  const result = { commit, date: new Date().toISOString(), node: process.version, rows: full }
  writeFileSync(join(dir, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`)
}

function wording(aim: Row['aim']): string | null {
  if (!aim) return null
  return 'atMost' in aim ? `at most ${aim.atMost}` : `at least ${aim.atLeast}`
}

function round(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(4))
}
