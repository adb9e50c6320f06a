/**
 * `npm test [-- PATTERN…]`: the checks, then every test file of the project, and one last line that says how it went.
 * With PATTERN only the files whose path contains one of them, and no checks. Under CI a test that is
 * skipped because this machine lacks something is a failure.
 */
import { availableParallelism } from 'node:os'
import { runChecks } from './checks.ts'
import { projectFiles } from './files.ts'
import { type FileResult, runTestFile } from './test-file.ts'

type Kind = { ending: string; limitMs: number; atOnce: number }

/** What needs the machine to itself runs alone: latencies are measured there. */
const kinds: Kind[] = [
  { ending: '.test.ts', limitMs: 60_000, atOnce: Math.min(availableParallelism(), 4) },
  { ending: '.int.test.ts', limitMs: 240_000, atOnce: 2 },
  { ending: '.e2e.test.ts', limitMs: 300_000, atOnce: 1 },
]

/** Reasons that are no lack of this machine: a server of one's own choice, and data that no clone contains. */
const optional = [/^PORTCULLIS_[A-Z]+/, /^\.\.\/shared\//]

const patterns = process.argv.slice(2)
const start = performance.now()
const inCi = isTrue(process.env.CI)
const totals = { passed: 0, failed: 0, skipped: 0 }
const skips: string[] = []
const failures: string[] = []

if (patterns.length === 0) await check()
const files = projectFiles().filter(
  (file) =>
    file.endsWith('.test.ts') && (patterns.length === 0 || patterns.some((part) => file.includes(part))),
)
for (const kind of kinds)
  await runAll(
    kind,
    files.filter((file) => kindOf(file) === kind),
  )
if (files.length === 0) fail('no test file', `nothing matches ${patterns.join(' ')}`)
summary()

async function check(): Promise<void> {
  await runChecks(({ name, ok, output, durationMs }) => {
    console.log(`${ok ? 'ok    ' : 'FAILED'} check: ${name} (${Math.round(durationMs)} ms)`)
    if (ok) totals.passed += 1
    else fail(`check: ${name}`, output)
  })
}

async function runAll(kind: Kind, queue: string[]): Promise<void> {
  const worker = async () => {
    for (let file = queue.shift(); file; file = queue.shift()) record(await runTestFile(file, kind.limitMs))
  }
  await Promise.all(Array.from({ length: kind.atOnce }, worker))
}

function record(result: FileResult): void {
  const counted = result.failures.filter(({ name }) => !name.startsWith('output of this file'))
  totals.passed += result.passed
  for (const { name, reason } of result.skips) {
    if (countsAsFailure(reason))
      fail(`${result.file}: ${name}`, `skipped, which counts as a failure under CI: ${reason}`)
    else {
      totals.skipped += 1
      skips.push(`${result.file}: ${name}: ${reason}`)
    }
  }
  const bad = counted.length + result.skips.filter(({ reason }) => countsAsFailure(reason)).length
  const figures = `${result.passed} passed${bad ? `, ${bad} failed` : ''}${result.skips.length ? `, ${result.skips.length} skipped` : ''}`
  console.log(`${bad ? 'FAILED' : 'ok    '} ${result.file} (${figures}, ${Math.round(result.durationMs)} ms)`)
  for (const { name, detail } of result.failures) {
    if (counted.some((one) => one.name === name)) fail(`${result.file}: ${name}`, detail)
    else failures.push(`--- ${result.file}: ${name}\n${detail}`)
  }
}

function fail(name: string, detail: string): void {
  totals.failed += 1
  failures.push(`--- FAILED ${name}\n${detail}`)
  console.log(`\n--- FAILED ${name}\n${detail}\n`)
}

function summary(): void {
  if (failures.length > 0) console.log(`\n===== failures, in full =====\n${failures.join('\n\n')}\n`)
  for (const skip of skips) console.log(`skipped ${skip}`)
  console.log(`\n${((performance.now() - start) / 1000).toFixed(0)} s`)
  console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`)
  process.exitCode = totals.failed === 0 ? 0 : 1
}

function kindOf(file: string): Kind | undefined {
  return kinds.toReversed().find(({ ending }) => file.endsWith(ending))
}

function countsAsFailure(reason: string): boolean {
  return inCi && !optional.some((pattern) => pattern.test(reason))
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0' && value !== 'false'
}
