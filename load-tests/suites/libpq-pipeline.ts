/** libpq's own test of pipeline mode: each test is one run of its program, and some leave a trace of every message. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { DebianPostgres } from './debian-postgres.ts'
import type { Result, SuiteRun, Way } from './side-by-side.ts'

const run = promisify(execFile)

/** As t/001_libpq_pipeline.pl does it: passed where the program ends well and the trace is the expected one. */
export async function runPipelineSuite({ pipeline, binaries }: DebianPostgres, way: Way): Promise<SuiteRun> {
  const { program, tracesDir } = pipeline
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-pipeline-'))
  const env = { ...binaries.env, PGPASSWORD: way.password, PGSSLMODE: 'disable' }
  const where = `host=${way.host} port=${way.port} user=${way.user} dbname=${way.database}`
  const results = new Map<string, Result>()
  const outputs = new Map<string, string>()
  const since = performance.now()
  const { stdout } = await run(program, ['tests'], { env })
  for (const test of stdout.trim().split(/\s+/)) {
    const expected = join(tracesDir, `${test}.trace`)
    const trace = join(dir, test)
    const traced = existsSync(expected)
    const args = ['-r', '700', ...(traced ? ['-t', trace] : []), test, where]
    const failed = await run(program, args, { env, timeout: 60_000, maxBuffer: 1e8 }).then(
      () => undefined,
      (error: Error) => error,
    )
    if (failed) console.error(`libpq_pipeline ${test}, ${way.name}: ${failed.message}`)
    if (traced && existsSync(trace)) outputs.set(test, readFileSync(trace, 'latin1'))
    const same = !traced || outputs.get(test) === readFileSync(expected, 'latin1')
    results.set(test, !failed && same ? 'passed' : 'failed')
  }
  rmSync(dir, { recursive: true })
  return { results, outputs, seconds: (performance.now() - since) / 1000 }
}
