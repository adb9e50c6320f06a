/**
 * Fuzzes the Postgres gate: both directions of a session in one process (client, server), the same bytes against a real
 * PostgreSQL (differential), what is read before a session (startup, proxy-header), and the SQL analyzer. Same seeds, same
 * frames. Exits with 1 where anything went wrong; the cases of sessions are made small and kept under --keep.
 *
 *   node load-tests/fuzz-postgres.ts [--frames 5000000] [--seed 1] [--mode client] [--keep FOLDER]
 *
 * `--frames` are shared out as `shares` says; with `--mode` all of them go to that one.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { report, type Row } from './report.ts'

/** What the entry prints (services/proxy/src/testing/fuzz/main.ts). */
interface ModeResult {
  readonly mode: string
  readonly figures: Readonly<Record<string, number>>
  readonly endings: Readonly<Record<string, number>>
  readonly faults: readonly string[]
}

/** Of all frames; the real server answers some hundreds a second, sessions in one process some thousands. */
const shares: Readonly<Record<string, number>> = {
  client: 0.55,
  server: 0.4,
  differential: 0.004,
  startup: 0.01,
  'proxy-header': 0.016,
  analyzer: 0.02,
}

const root = join(import.meta.dirname, '..')
const { values: args } = parseArgs({
  options: {
    frames: { type: 'string', default: '5000000' },
    seed: { type: 'string', default: '1' },
    mode: { type: 'string' },
    keep: { type: 'string', default: join(root, 'services/proxy/src/protocols/postgres/fuzz-corpus') },
  },
})

process.exitCode = await main()

async function main(): Promise<number> {
  const modes = args.mode === undefined ? Object.keys(shares) : [args.mode]
  const rows: Row[] = []
  const faults: string[] = []
  let frames = 0
  for (const mode of modes) {
    const share = args.mode === undefined ? (shares[mode] ?? 0) : 1
    const result = await runMode(mode, Math.ceil(Number(args.frames) * share))
    rows.push(...rowsOf(result))
    faults.push(...result.faults.map((what) => `${mode} ${what}`))
    frames += result.figures.frames ?? 0
  }
  const aim = { atLeast: Number(args.frames) }
  rows.push({ row: `frames in all, seed ${args.seed}`, value: frames, unit: 'frames', aim })
  rows.push({ row: 'faults in all', value: faults.length, unit: 'faults', aim: { atMost: 0 } })
  report('fuzz-postgres', rows)
  for (const fault of faults.slice(0, 50)) console.error(fault)
  return faults.length > 0 ? 1 : 0
}

async function runMode(mode: string, frames: number): Promise<ModeResult> {
  const entry = join(root, 'services/proxy/src/testing/fuzz/main.ts')
  const given = ['--mode', mode, '--seed', args.seed, '--frames', String(frames), '--keep', args.keep]
  const child = spawn(process.execPath, [entry, ...given], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [printed, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  if (printed === '') throw new Error(`the fuzzer itself ended with ${code} in mode ${mode}`)
  return JSON.parse(printed)
}

function rowsOf({ mode, figures, endings, faults }: ModeResult): Row[] {
  const { frames = 0, tookMs = 0, stallMsMax, grownBytes, uncaught, ...counts } = figures
  const rows: Row[] = [
    { row: `${mode}: frames`, value: frames, unit: 'frames' },
    { row: `${mode}: speed`, value: (frames / tookMs) * 1000, unit: 'frames/s' },
    ...Object.entries(counts).map(([name, value]) => ({ row: `${mode}: ${name}`, value, unit: '' })),
    ...Object.entries(endings).map(([how, value]) => ({
      row: `${mode}: ended: ${how}`,
      value,
      unit: 'sessions',
    })),
    { row: `${mode}: faults`, value: faults.length, unit: 'faults', aim: { atMost: 0 } },
  ]
  if (uncaught !== undefined)
    rows.push({
      row: `${mode}: rejections and exceptions that nobody caught`,
      value: uncaught,
      unit: '',
      aim: { atMost: 0 },
    })
  if (stallMsMax !== undefined)
    rows.push({
      row: `${mode}: longest stall that came again`,
      value: stallMsMax,
      unit: 'ms',
      aim: { atMost: 200 },
    })
  if (grownBytes !== undefined)
    rows.push({
      row: `${mode}: heap grown after the first tenth`,
      value: grownBytes / 1e6,
      unit: 'MB',
      aim: { atMost: 16 },
    })
  return rows
}
