/**
 * PostgreSQL's own tests against the same server directly and through the gate with an empty policy: the regression
 * suite, PL/pgSQL's, the isolation tests and libpq's of pipeline mode. Needs Debian's archive, gcc and, the first time,
 * some minutes; then about twelve. Writes docs/regression.md. Ends with 1 where a test that passes directly does not
 * pass through the gate and nobody has said why.
 *
 *   node load-tests/regress.ts [--only regress|plpgsql|isolation|libpq_pipeline]
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { report } from './report.ts'
import { debianPostgres } from './suites/debian-postgres.ts'
import { runPipelineSuite } from './suites/libpq-pipeline.ts'
import { runPgSuite } from './suites/pg-regress.ts'
import {
  type Compared,
  compare,
  type Explanation,
  faultsOf,
  rowsOf,
  type SuiteRun,
  type Way,
  writePage,
} from './suites/side-by-side.ts'
import { runDirect, runThroughGate } from './suites/ways.ts'

const { values } = parseArgs({ options: { only: { type: 'string' } } })

/** By suite. */
const explanations: Record<string, readonly Explanation[]> = {}

const debian = await debianPostgres()
const suites: { name: string; run: (way: Way) => Promise<SuiteRun> }[] = [
  ...debian.suites.map((suite) => ({
    name: suite.name,
    run: (way: Way) => runPgSuite(debian, suite, way),
  })),
  { name: 'libpq_pipeline', run: (way: Way) => runPipelineSuite(debian, way) },
]
const all: Compared[] = []
let events = 0
for (const { name, run } of suites.filter((suite) => !values.only || suite.name === values.only)) {
  const task = { binaries: debian.binaries, run }
  const direct = await runDirect(task)
  const gate = await runThroughGate(task)
  events += gate.events
  const suite = { name, version: debian.version, explanations: explanations[name] ?? [] }
  all.push(compare(suite, direct, gate))
  console.log(
    `${name}: ${direct.seconds.toFixed(0)} s directly, ${gate.seconds.toFixed(0)} s through the gate`,
  )
}
const faults = all.flatMap(faultsOf)
for (const fault of faults) console.error(fault)
if (!values.only) {
  report('regress', [
    ...all.flatMap(rowsOf),
    { row: 'events of the gate meanwhile', value: events, unit: 'events' },
  ])
  writePage(
    join(import.meta.dirname, '../docs/regression.md'),
    `
# PostgreSQL's own tests through the gate

<!-- Written by load-tests/regress.ts from a real run. Do not edit: run it again. -->

\`npm run regress:postgres\` runs the test suites of PostgreSQL's source against one server of Debian's, first directly and
then through the gate with an empty policy, on a fresh cluster each time: the regression suite and PL/pgSQL's by pg_regress as
\`make installcheck\` does it, the isolation tests (several sessions that wait for each other), and libpq's own test of pipeline
mode, whose traces hold every message. The target's role is the superuser and no test is left out. What is the same in all
bytes of its output is counted too: a test may pass with any of several expected files.`,
    all,
  )
}
process.exitCode = faults.length > 0 ? 1 : 0
