/**
 * The same suite of tests run twice, directly and through the gate: which tests come out otherwise and why. What nobody
 * has explained makes the run fail; an explanation that no longer explains anything does too, so the page stays true.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Row } from '../report.ts'

export type Result = 'passed' | 'failed' | 'skipped'

/** How a suite reaches the server. */
export interface Way {
  readonly name: 'direct' | 'gate'
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}

export interface SuiteRun {
  /** By the test's name. */
  readonly results: ReadonlyMap<string, Result>
  readonly seconds: number
  /** What a test printed, where the suite keeps that apart. */
  readonly outputs?: ReadonlyMap<string, string>
}

export interface Explanation {
  /** Whole name of the test. */
  readonly test: string
  readonly why: string
  /** How it comes out depends on how busy the machine is: no fault where it passes. */
  readonly sometimes?: boolean
}

export interface Compared {
  readonly suite: string
  readonly version: string
  readonly tests: number
  readonly passedDirect: number
  readonly passedGate: number
  /** Pass directly and not through the gate, or are skipped there. */
  readonly lost: readonly string[]
  /** The other way round. */
  readonly won: readonly string[]
  /** Of the outputs that both ways kept, how many are equal byte for byte. */
  readonly outputs: { readonly kept: number; readonly equal: number }
  readonly seconds: { readonly direct: number; readonly gate: number }
  readonly explanations: readonly Explanation[]
}

export function compare(
  suite: { readonly name: string; readonly version: string; readonly explanations: readonly Explanation[] },
  direct: SuiteRun,
  gate: SuiteRun,
): Compared {
  const passes = ({ results }: SuiteRun) =>
    [...results].filter(([, result]) => result === 'passed').map(([name]) => name)
  const passedDirect = passes(direct)
  const passedGate = passes(gate)
  const kept = [...(direct.outputs ?? [])].filter(([test]) => gate.outputs?.has(test))
  return {
    suite: suite.name,
    version: suite.version,
    tests: new Set([...direct.results.keys(), ...gate.results.keys()]).size,
    passedDirect: passedDirect.length,
    passedGate: passedGate.length,
    lost: passedDirect.filter((test) => gate.results.get(test) !== 'passed'),
    won: passedGate.filter((test) => direct.results.get(test) !== 'passed'),
    outputs: {
      kept: kept.length,
      equal: kept.filter(([test, output]) => gate.outputs?.get(test) === output).length,
    },
    seconds: { direct: direct.seconds, gate: gate.seconds },
    explanations: suite.explanations,
  }
}

/** What is wrong with it: tests lost without an explanation, explanations of nothing, a suite that did not run. */
export function faultsOf({ suite, passedDirect, lost, explanations }: Compared): string[] {
  return [
    ...(passedDirect === 0 ? [`${suite}: no test passes directly, so nothing was compared`] : []),
    ...lost
      .filter((test) => !explanations.some((one) => one.test === test))
      .map((test) => `${suite}: ${test} passes directly and not through the gate`),
    ...explanations
      .filter((one) => !one.sometimes && !lost.includes(one.test))
      .map((one) => `${suite}: ${one.test} is explained, and passes through the gate`),
  ]
}

export function rowsOf({ suite, passedDirect, passedGate, lost, explanations, outputs }: Compared): Row[] {
  const unexplained = lost.filter((test) => !explanations.some((one) => one.test === test))
  const rows: Row[] = [
    { row: `${suite}: pass through the gate`, value: passedGate, unit: 'tests', against: passedDirect },
    {
      row: `${suite}: pass only directly, unexplained`,
      value: unexplained.length,
      unit: 'tests',
      aim: { atMost: 0 },
    },
  ]
  if (outputs.kept > 0)
    rows.push({
      row: `${suite}: same output, byte for byte`,
      value: outputs.equal,
      unit: 'tests',
      against: outputs.kept,
    })
  return rows
}

/** Markdown: `opening`, the table, and each difference with its reason. */
/** `names`: every suite of the page in its order; those that did not run keep the lines that the page has of them. */
export function writePage(
  file: string,
  opening: string,
  all: readonly Compared[],
  names: readonly string[] = all.map(({ suite }) => suite),
): void {
  const old = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
  const inOrder = (ran: (one: Compared) => readonly string[], columns: number) =>
    names.flatMap((name) => {
      const one = all.find(({ suite }) => suite === name)
      return one ? ran(one) : old.filter((line) => isRowOf(line, name, columns))
    })
  const table = inOrder(
    ({ suite, version, tests, passedDirect, passedGate, lost, won, outputs }) => [
      `| ${suite} | ${version} | ${tests} | ${passedDirect} | ${passedGate} | ${lost.length} | ${won.length} | ${outputs.kept === 0 ? '' : `${outputs.equal} of ${outputs.kept}`} |`,
    ],
    8,
  )
  const differences = inOrder(
    ({ suite, lost, won, explanations }) => [
      ...lost.map(
        (test) =>
          `| ${suite} | \`${test}\` | ${explanations.find((one) => one.test === test)?.why ?? '**not explained**'} |`,
      ),
      ...won.map((test) => `| ${suite} | \`${test}\` | passes through the gate and not directly |`),
    ],
    3,
  )
  const lines = [
    opening.trim(),
    '',
    '| suite | version | tests | pass directly | pass through the gate | only directly | only through the gate | same output |',
    '|---|---|---|---|---|---|---|---|',
    ...table,
    '',
    ...(differences.length === 0
      ? ['No test comes out otherwise through the gate.']
      : ['| suite | test | why it comes out otherwise |', '|---|---|---|', ...differences]),
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
}

function isRowOf(line: string, name: string, columns: number): boolean {
  return line.startsWith(`| ${name} | `) && line.split('|').length === columns + 2
}
