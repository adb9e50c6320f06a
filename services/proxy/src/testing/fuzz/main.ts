/**
 * One mode of the fuzzer, for load-tests/fuzz-postgres.ts, which may not import a service: progress on standard error, one
 * JSON object (`ModeResult`) on standard output.
 *
 *   node services/proxy/src/testing/fuzz/main.ts --mode client --seed 1 --frames 1000000 [--keep FOLDER]
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createSqlAnalyzer } from '@portcullis/sql'
import { makeCertificates } from '@portcullis/testkit/certificates'
import { startPostgres } from '@portcullis/testkit/postgres'
import { createDoorTls } from '../../protocols/postgres/client-tls.ts'
import { fuzzDifferential } from './differential.ts'
import { type DoorResult, fuzzAnalyzer, fuzzProxyHeader, fuzzStartup, readCorpus } from './doors.ts'
import { play } from './play.ts'
import { type Found, fuzzSessions } from './run.ts'
import type { KeptCase } from './script.ts'
import { shrink } from './shrink.ts'

/** What a mode has to show; counts and milliseconds by name. */
export interface ModeResult {
  readonly mode: string
  readonly figures: Readonly<Record<string, number>>
  /** How sessions ended, by their own words, and how many. */
  readonly endings: Readonly<Record<string, number>>
  /** One line for each that went wrong. */
  readonly faults: readonly string[]
}

const { values: args } = parseArgs({
  options: {
    mode: { type: 'string', default: 'client' },
    seed: { type: 'string', default: '1' },
    frames: { type: 'string', default: '100000' },
    keep: { type: 'string' },
  },
})
const seed = Number(args.seed)
const frames = Number(args.frames)

const result = await run(args.mode)
process.stdout.write(`${JSON.stringify(result)}\n`)
process.exit(result.faults.length > 0 ? 1 : 0)

async function run(mode: string): Promise<ModeResult> {
  switch (mode) {
    case 'client':
    case 'server':
      return sessions(mode)
    case 'differential':
      return differential()
    case 'startup': {
      const { server } = makeCertificates()
      const tls = createDoorTls({ cert: server.certPem, key: server.keyPem })
      return doors(mode, (at) => fuzzStartup(at, tls))
    }
    case 'proxy-header':
      return doors(mode, fuzzProxyHeader)
    case 'analyzer': {
      const analyzer = await createSqlAnalyzer({ cacheEntries: 1000, cacheBytesMax: 1 << 22 })
      await analyzer.warm()
      const corpus = readCorpus()
      return doors(mode, (at) => fuzzAnalyzer(at, analyzer, corpus))
    }
    default:
      throw new Error(`no mode ${mode}: client, server, differential, startup, proxy-header or analyzer`)
  }
}

async function sessions(mode: 'client' | 'server'): Promise<ModeResult> {
  const progress = (done: number) => process.stderr.write(`${mode}: ${done} frames\n`)
  const { found, uncaught, endings, ...figures } = await fuzzSessions({ mode, seed, frames, progress })
  for (const one of found) await keep(mode, one)
  const faults = found.flatMap((one) => one.faults.map((what) => `seed ${one.seed}: ${what}`))
  return {
    mode,
    figures: { ...figures, uncaught: uncaught.length },
    endings: Object.fromEntries(endings),
    faults: [...faults, ...uncaught.map((what) => `uncaught: ${what}`)],
  }
}

/** As small as it gets, so that it can be read and replayed. */
async function keep(mode: string, { seed: at, script, faults: [first = ''] }: Found): Promise<void> {
  if (args.keep === undefined) return
  const analyzer = await createSqlAnalyzer({
    cacheEntries: 1000,
    cacheBytesMax: 1 << 22,
    syncBytesMax: 1 << 20,
  })
  const kind = first.slice(0, 24)
  const fails = async (one: KeptCase['script']) =>
    (await play(one, analyzer)).faults.some((fault) => fault.startsWith(kind))
  const kept: KeptCase = { about: first, script: await shrink(script, fails) }
  await analyzer.close()
  mkdirSync(args.keep, { recursive: true })
  writeFileSync(join(args.keep, `${mode}-${at}.json`), `${JSON.stringify(kept, null, 2)}\n`)
}

async function differential(): Promise<ModeResult> {
  const postgres = await startPostgres({ auth: 'password', fsync: false })
  const startMs = performance.now()
  try {
    const { found, ...figures } = await fuzzDifferential({ postgres: postgres.value, seed, frames })
    return {
      mode: 'differential',
      figures: { ...figures, tookMs: performance.now() - startMs },
      endings: {},
      faults: found.flatMap((one) => one.faults.map((what) => `seed ${one.seed}: ${what}`)),
    }
  } finally {
    await postgres.stop()
  }
}

async function doors(
  mode: string,
  one: (at: number) => DoorResult | Promise<DoorResult>,
): Promise<ModeResult> {
  const startMs = performance.now()
  const faults: string[] = []
  for (let at = seed; at < seed + frames && faults.length < 20; at++) {
    const { faults: found, input } = await one(at)
    faults.push(...found.map((what) => `seed ${at}: ${what}: ${input}`))
  }
  return { mode, figures: { frames, tookMs: performance.now() - startMs }, endings: {}, faults }
}
