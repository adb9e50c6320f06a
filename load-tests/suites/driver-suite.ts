/** What the test suite of a driver is to the program that runs them all, and what their runners print. */
import { execFile } from 'node:child_process'
import type { Postgres } from '@portcullis/testkit/postgres'
import type { Explanation, Result, SuiteRun, Way } from './side-by-side.ts'

export interface DriverSuite {
  readonly name: string
  readonly version: string
  /** Fetches the pinned version and its tests from its registry into `dir`, which is empty. */
  install(dir: string): Promise<void>
  prepare(postgres: Postgres): Promise<void>
  run(dir: string, way: Way): Promise<SuiteRun>
  readonly explanations: readonly Explanation[]
}

/** stdout and the exit code, whatever it is; rejects where the program cannot be started or takes over nine minutes. */
export function command(
  file: string,
  args: readonly string[],
  options: { cwd: string; env?: Readonly<Record<string, string>> },
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { cwd, env } = options
  return new Promise((resolve, reject) => {
    const limits = { maxBuffer: 1e9, timeout: 540_000, killSignal: 'SIGKILL' } as const
    execFile(file, args, { cwd, env: { ...process.env, ...env }, ...limits }, (error, stdout, stderr) => {
      if (error && typeof error.code !== 'number') reject(error)
      else resolve({ code: Number(error?.code ?? 0), stdout, stderr })
    })
  })
}

/** As `command`, for what must succeed. */
export async function must(
  file: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { code, stdout, stderr } = await command(file, args, { cwd, env })
  if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`)
  return stdout
}

/** `pytest --junitxml`. */
export function readJunit(xml: string): Map<string, Result> {
  const results = new Map<string, Result>()
  for (const [, attributes = '', body = ''] of xml.matchAll(
    /<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs,
  )) {
    const name = ['classname', 'name'].map((key) => new RegExp(`\\b${key}="([^"]*)"`).exec(attributes)?.[1])
    const failed = /<(?:failure|error)\b/.test(body)
    results.set(name.join('.'), failed ? 'failed' : /<skipped\b/.test(body) ? 'skipped' : 'passed')
  }
  return results
}

/**
 * `go test -json`: one event a line. A package whose test binary died leaves its running tests failed. The number of a
 * temporary folder in a test's name is another one in each run.
 */
export function readGoTest(printed: string, root: string): Map<string, Result> {
  const results = new Map<string, Result>()
  const words: Record<string, Result> = { run: 'failed', pass: 'passed', fail: 'failed', skip: 'skipped' }
  for (const line of printed.split('\n')) {
    if (!line.startsWith('{')) continue
    const { Action, Package, Test } = JSON.parse(line) as { Action: string; Package: string; Test?: string }
    const result = words[Action]
    if (!Test || !result) continue
    const name = Test.replaceAll(/(\/tmp\/Test[^/]*?)\d+\//g, '$1/')
    results.set(`${Package.replace(root, '').replace(/^\//, '')} ${name}`.trim(), result)
  }
  return results
}

/** `cargo test`: one line a test, which may have other output inside of it. */
export function readCargoTest(printed: string): Map<string, Result> {
  const words: Record<string, Result> = { ok: 'passed', FAILED: 'failed', ignored: 'skipped' }
  const lines = printed.matchAll(/^test (\S+)(?: - should panic)? \.\.\. .*?(ok|FAILED|ignored)/gm)
  return new Map(Array.from(lines, ([, name = '', word = '']) => [name, words[word] ?? 'failed']))
}
