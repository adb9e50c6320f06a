/**
 * The test suites of PostgreSQL drivers, as far as their registries have them, against the same server directly and
 * through the gate with an empty policy. Needs python3, go and cargo, Debian's archive for the server and, the first
 * time, some minutes. Writes docs/driver-suites.md. Ends with 1 where a test that passes directly does not pass through
 * the gate and nobody has said why. With `--only` the page keeps what it has of the other suites.
 *
 *   node load-tests/suites.ts [--only NAME]
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { report } from './report.ts'
import { debianPostgres } from './suites/debian-postgres.ts'
import type { DriverSuite } from './suites/driver-suite.ts'
import { pgx } from './suites/go-drivers.ts'
import { asyncpg, psycopg2 } from './suites/python-drivers.ts'
import { rustPostgres, tokioPostgres } from './suites/rust-drivers.ts'
import { type Compared, compare, faultsOf, rowsOf, writePage } from './suites/side-by-side.ts'
import { runDirect, runThroughGate } from './suites/ways.ts'

const { values } = parseArgs({ options: { only: { type: 'string' } } })
const suites = [asyncpg, psycopg2, pgx, tokioPostgres, rustPostgres]
const { binaries } = await debianPostgres()
const all: Compared[] = []
let events = 0
for (const suite of suites.filter(({ name }) => !values.only || name === values.only)) {
  const dir = await installed(suite)
  const task = { binaries, prepare: suite.prepare, run: suite.run.bind(suite, dir) }
  const direct = await runDirect(task)
  const gate = await runThroughGate(task)
  events += gate.events
  all.push(compare(suite, direct, gate))
  console.log(
    `${suite.name}: ${direct.seconds.toFixed(0)} s directly, ${gate.seconds.toFixed(0)} s through the gate`,
  )
}
const faults = all.flatMap(faultsOf)
for (const fault of faults) console.error(fault)
if (!values.only) {
  report('suites', [
    ...all.flatMap(rowsOf),
    { row: 'events of the gate meanwhile', value: events, unit: 'events' },
  ])
}
const page = join(import.meta.dirname, '../docs/driver-suites.md')
writePage(
  page,
  opening(),
  all,
  suites.map(({ name }) => name),
)
process.exitCode = faults.length > 0 ? 1 : 0

/** Once for each version; a try that failed leaves nothing behind. */
async function installed({ name, version, install }: DriverSuite): Promise<string> {
  const dir = join(import.meta.dirname, '../node_modules/.cache/suites', `${name}-${version}`)
  if (existsSync(dir)) return dir
  const draft = `${dir}.draft`
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft, { recursive: true })
  await install(draft)
  renameSync(draft, dir)
  return dir
}

function opening(): string {
  return `
# The drivers' own tests through the gate

<!-- Written by load-tests/suites.ts from a real run. Do not edit: run it again. -->

\`npm run suites:postgres\` runs the test suites that drivers ship in their packages, first directly against a server of
Debian's and then through the gate with an empty policy, on a fresh cluster each time. The target has the superuser's
credentials and its name, \`postgres\`, so that the tests find the user that they expect; the password is a token. Tests that
are skipped or fail directly (no TLS, no second server) prove nothing either way and are not counted as passing.`
}
