/** One run of a suite of PostgreSQL's own by its own runner, as `make installcheck` does it. */
import { spawn } from 'node:child_process'
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync } from 'node:fs'
import { readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findRunAs } from '@portcullis/testkit/postgres-binaries'
import type { DebianPostgres } from './debian-postgres.ts'
import type { Result, SuiteRun, Way } from './side-by-side.ts'

export interface PgSuite {
  readonly name: string
  /** pg_regress or pg_isolation_regress. */
  readonly runner: string
  /** Holds expected/ and sql/ or specs/. */
  readonly dir: string
  /** A schedule inside of `dir`, or the tests by name. */
  readonly tests: { readonly schedule: string } | readonly string[]
}

/** Throws where the runner itself fails. */
export async function runPgSuite(postgres: DebianPostgres, suite: PgSuite, way: Way): Promise<SuiteRun> {
  const dir = placeSuite(suite.dir, way.name)
  const args = [
    `--bindir=${postgres.binaries.binDir}`,
    `--inputdir=${dir}`,
    `--outputdir=${dir}`,
    `--dlpath=${postgres.libDir}`,
    `--host=${way.host}`,
    `--port=${way.port}`,
    `--user=${way.user}`,
    '--max-concurrent-tests=20',
    ...('schedule' in suite.tests ? [`--schedule=${join(dir, suite.tests.schedule)}`] : suite.tests),
  ]
  const since = performance.now()
  try {
    const { code, printed } = await run(suite.runner, args, dir, {
      PATH: process.env.PATH,
      HOME: dir,
      PGPASSWORD: way.password,
      PGSSLMODE: 'disable',
      ...postgres.binaries.env,
    })
    const results = readResults(printed)
    if (results.size === 0) throw new Error(`${suite.runner} ended with ${code}:\n${printed}`)
    printDifferences(dir, results)
    return { results, seconds: (performance.now() - since) / 1000, outputs: readOutputs(dir) }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** A copy that belongs to the server's user: the server writes there too, so it is that user who runs the whole. */
function placeSuite(from: string, way: string): string {
  const dir = mkdtempSync(join(realpathSync(tmpdir()), `portcullis-regress-${way}-`))
  chmodSync(dir, 0o755)
  cpSync(from, dir, { recursive: true })
  mkdirSync(join(dir, 'results'))
  const runAs = findRunAs()
  if (!runAs) return dir
  chownSync(dir, runAs.uid, runAs.gid)
  for (const entry of readdirSync(dir, { withFileTypes: true, recursive: true }))
    chownSync(join(entry.parentPath, entry.name), runAs.uid, runAs.gid)
  return dir
}

async function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<{ code: number | null; printed: string }> {
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], ...findRunAs() })
  let printed = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed += text
    })
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  )
  return { code, printed }
}

/** PostgreSQL 15's: `test boolean ... ok  12 ms`, and names without `test` in a parallel group. */
export function readResults(printed: string): Map<string, Result> {
  const lines = printed.matchAll(/^(?:test| {4,}) *(\S+) +\.\.\. (ok|FAILED|failed)/gm)
  return new Map(Array.from(lines, ([, name = '', word]) => [name, word === 'ok' ? 'passed' : 'failed']))
}

function readOutputs(dir: string): Map<string, string> {
  const files = readdirSync(join(dir, 'results')).filter((file) => file.endsWith('.out'))
  return new Map(
    files.map((file) => [file.slice(0, -'.out'.length), readFileSync(join(dir, 'results', file), 'latin1')]),
  )
}

function printDifferences(dir: string, results: ReadonlyMap<string, Result>): void {
  if ([...results.values()].every((result) => result === 'passed')) return
  console.error(readFileSync(join(dir, 'regression.diffs'), 'latin1'))
}
