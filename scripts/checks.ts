/** What must hold before any test runs: style, types, doors, no dead code, generated files up to date, a clean lockfile. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkDoors } from './doors.ts'
import { projectFiles, root } from './files.ts'

export type CheckResult = { name: string; ok: boolean; output: string; durationMs: number }

type Check = { name: string; run: () => Promise<string> | string }

const bin = (name: string) => join(root, 'node_modules', '.bin', name)

/** Each returns what is wrong; nothing is good. */
const checks: Check[] = [
  { name: 'types (tsc)', run: () => runTool(bin('tsc'), ['--noEmit']) },
  {
    name: 'dead code and undeclared dependencies (knip)',
    run: () => runTool(bin('knip'), ['--no-progress', '--no-config-hints']),
  },
  { name: 'style and lint (biome)', run: () => runTool(bin('biome'), ['check', '--error-on-warnings']) },
  {
    name: 'generated types (schemas/generate.ts --check)',
    run: () => runTool(process.execPath, ['schemas/generate.ts', '--check']),
  },
  {
    name: 'docs/configuration.md is true to the schema',
    run: () => runTool(process.execPath, ['scripts/configuration-doc.ts', '--check']),
  },
  { name: 'doors: who imports whom', run: () => checkDoors(root, sourceFiles()).join('\n') },
  {
    name: 'the lockfile has every platform',
    run: () => runTool(process.execPath, ['scripts/lock-platforms.mjs', '--check']),
  },
  { name: 'nothing of this machine in the repository', run: () => machineTraces().join('\n') },
]

/** Runs all, two at a time, reports each as it ends. */
export async function runChecks(report: (result: CheckResult) => void): Promise<CheckResult[]> {
  const queue = [...checks]
  const results: CheckResult[] = []
  const worker = async () => {
    for (let check = queue.shift(); check; check = queue.shift()) {
      const start = performance.now()
      const output = await Promise.resolve()
        .then(check.run)
        .catch((error: unknown) => String(error))
      const durationMs = performance.now() - start
      const result = { name: check.name, ok: output === '', output, durationMs }
      results.push(result)
      report(result)
    }
  }
  await Promise.all([worker(), worker()])
  return results
}

/** The test of the doors names forbidden imports, in text. */
function sourceFiles(): string[] {
  return projectFiles().filter((file) => /\.(ts|mts|mjs|js)$/.test(file) && file !== 'scripts/doors.test.ts')
}

/** A lockfile that names a registry, or any file that names this clone's folder, works here only. */
function machineTraces(): string[] {
  const lock: { packages: Record<string, { resolved?: string }> } = JSON.parse(
    readFileSync(join(root, 'package-lock.json'), 'utf8'),
  )
  const resolved = Object.entries(lock.packages)
    .filter(([, { resolved }]) => /^https?:/.test(resolved ?? ''))
    .map(([path]) => `package-lock.json: ${path} has a "resolved" address`)
  // A short root such as /app is an ordinary word in a Dockerfile.
  const traces = root.split('/').length > 2 ? [root] : []
  const registry = process.env.npm_config_registry
  if (registry && !registry.includes('registry.npmjs.org')) traces.push(new URL(registry).host)
  const found = projectFiles().flatMap((file) => {
    const path = join(root, file)
    const text = existsSync(path) ? readFileSync(path, 'latin1') : ''
    return traces.filter((trace) => text.includes(trace)).map((trace) => `${file}: contains ${trace}`)
  })
  return [...resolved, ...found]
}

/** The tool's output where it failed, nothing where it did not. */
function runTool(command: string, args: string[]): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code) => {
      const output = Buffer.concat(chunks).toString().trimEnd()
      resolve(code === 0 ? '' : output || `exit code ${code}`)
    })
  })
}
