/**
 * Runs one test file in a process group of its own, so that whatever it leaves behind ends with it, and so that a file
 * that hangs is killed and counted. Refuses to call a file good that ran no test or ended in any way but exit code 0.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './files.ts'
import type { TestRecord } from './test-reporter.ts'

export type FileResult = {
  file: string
  passed: number
  failures: { name: string; detail: string }[]
  skips: { name: string; reason: string }[]
  durationMs: number
}

const outputBytesShown = 6000

export async function runTestFile(file: string, limitMs: number): Promise<FileResult> {
  const start = performance.now()
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-test-'))
  const recordFile = join(folder, 'records')
  try {
    const reporter = join(import.meta.dirname, 'test-reporter.ts')
    const args = [`--test-reporter=${reporter}`, `--test-reporter-destination=${recordFile}`, file]
    // Node's own test runner must not take this process for one of its children.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const child = spawn(process.execPath, args, {
      cwd: root,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const output = tail(outputBytesShown)
    child.stdout.on('data', output.add)
    child.stderr.on('data', output.add)
    let hung = false
    const limit = setTimeout(() => {
      hung = true
      killGroup(child.pid)
    }, limitMs)
    const [code, signal] = await once(child, 'exit')
    clearTimeout(limit)
    killGroup(child.pid)
    const ending = hung
      ? `killed after ${limitMs / 1000} s`
      : code === 0
        ? undefined
        : `ended with ${signal ?? `exit code ${code}`}`
    return {
      ...summarize(file, readRecords(recordFile), ending, output.text()),
      durationMs: performance.now() - start,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function summarize(
  file: string,
  records: TestRecord[],
  ending: string | undefined,
  output: string,
): Omit<FileResult, 'durationMs'> {
  const of = (kind: TestRecord['kind']) => records.filter((record) => record.kind === kind)
  const failures = of('fail').map(({ name, detail }) => ({ name, detail }))
  const skips = of('skip').map(({ name, detail }) => ({ name, reason: detail || 'no reason given' }))
  const passed = of('pass').length
  if (ending?.startsWith('killed')) {
    const ended = new Set(
      records.flatMap(({ kind, name }) => (kind === 'begin' ? [] : [name.split(' > ').at(-1)])),
    )
    const open = of('begin').filter(({ name }) => !ended.has(name))
    failures.push({
      name: `${ending}; running: ${open.map(({ name }) => name).join(', ') || 'no test'}`,
      detail: output,
    })
  } else if (ending && failures.length === 0) {
    failures.push({ name: ending, detail: output })
  } else if (passed + failures.length + skips.length === 0) {
    failures.push({ name: 'holds no test', detail: output })
  } else if (failures.length > 0 && output !== '') {
    failures.push({ name: 'output of this file (not counted as a failure)', detail: output })
  }
  return { file, passed, failures, skips }
}

function readRecords(path: string): TestRecord[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    // A file that does not even load has no records; its exit code tells.
    return []
  }
  const lines = text.split('\n')
  // A killed process may have been in the middle of its last line.
  return lines.slice(0, -1).map((line) => JSON.parse(line))
}

/** The group may be gone already, which is how it should be. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

function tail(bytesMax: number): { add: (chunk: Buffer) => void; text: () => string } {
  let kept = Buffer.alloc(0)
  return {
    add: (chunk) => {
      kept = Buffer.concat([kept, chunk]).subarray(-bytesMax)
    },
    text: () => kept.toString().trimEnd(),
  }
}
