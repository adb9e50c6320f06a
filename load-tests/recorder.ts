/**
 * What recording costs on the road of a command: intent, commit, outcome, against an empty loop, at 1 and 32 commands at
 * a time, for `process` and `disk`. Prints a table and writes results/recorder.json.
 * node load-tests/recorder.ts [DIR]
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Analysis, type Decision, type SessionRecord, systemClock } from '@portcullis/kernel'
import { createRecorder } from '@portcullis/platform/recorder'

interface Row {
  readonly row: string
  readonly value: number
  readonly unit: string
  readonly against: number | null
  readonly ratio: number | null
  readonly aim: number | null
  readonly met: boolean | null
}

const aimUs = 8
const analyses = Array.from({ length: 50 }, (_, i) => analysisOf(`select * from orders where id = ${i}`))
const rows: Row[] = []
const allow: Decision = {
  id: '',
  action: 'allow',
  reason: '',
  rule: '',
  verdictId: '',
  approvalId: '',
  policyVersion: 'v1',
  enforced: true,
  delayUs: 0,
}

const result = {
  outcome: 'ok',
  stage: 'run',
  errorCode: '',
  tag: 'SELECT 1',
  rowsIn: 0,
  rowsOut: 1,
  rowsAffected: 0,
  bytesIn: 64,
  bytesOut: 80,
} as const

await main()

async function main(): Promise<void> {
  for (const concurrent of [1, 32]) {
    await measure('process', concurrent, 20_000 / concurrent, false)
    const processRun = await measure('process', concurrent, 200_000 / concurrent, true)
    await measure('disk', concurrent, concurrent === 1 ? 2000 : 300, true, processRun)
  }
  console.table(rows)
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const report = { commit, date: new Date().toISOString(), rows }
  writeFileSync(
    join(import.meta.dirname, 'results/recorder.json'),
    `${JSON.stringify(report, undefined, 2)}\n`,
  )
}

/** `rounds` times: intents and one commit each for `concurrent` commands, then all their outcomes in another turn. */
async function measure(
  durability: 'process' | 'disk',
  concurrent: number,
  rounds: number,
  isReported: boolean,
  against?: number,
): Promise<number> {
  const dir = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'portcullis-bench-'))
  const recorder = createRecorder({
    dir,
    durability,
    bytesMax: 4 * 2 ** 30,
    onUnavailable: 'deny',
    proxy: { name: 'bench', version: '0' },
    clock: systemClock,
  })
  const { value } = recorder
  value.session(sessionRecord('s'), 'opened', allow, '')
  await value.commit()
  const latenciesUs: number[] = []
  const roundsUs: number[] = []
  let number = 0
  const cpuBefore = process.cpuUsage()
  const startedMs = performance.now()
  for (let round = 0; round < rounds; round++) {
    const first = number + 1
    const waits: Promise<void>[] = []
    let spentMs = 0
    for (let i = 0; i < concurrent; i++) {
      const beforeMs = performance.now()
      number++
      value.intent({
        sessionId: 's',
        number,
        analysis: analyses[number % 50] ?? analysisOf(''),
        decision: { ...allow, id: `01JDK3${number}ABCDEFGHJKMNP` },
        startedAt: 1_763_800_000_000_000 + number,
        attributes: {},
      })
      const wait = value.commit()
      const tookMs = performance.now() - beforeMs
      spentMs += tookMs
      if (wait) waits.push(wait.then(() => void latenciesUs.push((performance.now() - beforeMs) * 1000)))
      else latenciesUs.push(tookMs * 1000)
    }
    await Promise.all(waits)
    const beforeMs = performance.now()
    for (let finished = first; finished <= number; finished++)
      value.outcome('s', finished, 1_763_800_000_000_400 + finished, result)
    // The outcomes are written with the next round's first commit, and counted there.
    roundsUs.push(((spentMs + performance.now() - beforeMs) * 1000) / concurrent)
    await new Promise(setImmediate)
  }
  const elapsedMs = performance.now() - startedMs
  const cpu = process.cpuUsage(cpuBefore)
  const { bytes } = value.stats()
  await recorder.stop()
  rmSync(dir, { recursive: true, force: true })
  latenciesUs.sort((a, b) => a - b)
  roundsUs.sort((a, b) => a - b)
  const p50 = at(latenciesUs, 0.5)
  if (!isReported) return p50
  const name = `${durability}, ${concurrent} at a time`
  const aim = durability === 'process' ? aimUs : null
  add(`${name}: intent and commit, p50`, p50, 'us', against ?? null, aim)
  add(`${name}: intent and commit, p99`, at(latenciesUs, 0.99), 'us')
  if (durability === 'process')
    add(`${name}: intent, commit and outcome, p50`, at(roundsUs, 0.5), 'us', null, aim)
  add(`${name}: CPU a command`, (cpu.user + cpu.system) / number, 'us')
  add(`${name}: commands a second`, number / (elapsedMs / 1000), '1/s')
  add(`${name}: bytes a command`, bytes / number, 'bytes')
  return p50
}

function add(
  row: string,
  value: number,
  unit: string,
  against: number | null = null,
  aim: number | null = null,
): void {
  const round = (figure: number) => Math.round(figure * 100) / 100
  rows.push({
    row,
    value: round(value),
    unit,
    against: against === null ? null : round(against),
    ratio: against === null ? null : round(value / against),
    aim,
    met: aim === null ? null : value <= aim,
  })
}

function at(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}

function analysisOf(text: string): Analysis {
  return {
    text,
    textBytes: text.length,
    fingerprint: '50fde20626009aba',
    verb: 'SELECT',
    effects: ['read'],
    objects: [{ kind: 'table', namespace: '', name: 'orders', effect: 'read', columns: [] }],
    privileged: false,
    returnsRows: true,
    undoes: false,
  }
}

function sessionRecord(sessionId: string): SessionRecord {
  return {
    sessionId,
    identity: {
      issuer: 'https://ci',
      subject: 'job',
      groups: [],
      delegation: [],
      instance: 'j',
      task: '',
      ancestors: [],
    },
    target: 'orders',
    role: '',
    database: 'shop',
    protocol: 'postgres',
    origin: { address: '127.0.0.1', country: '', region: '', asn: 0, asOrg: '' },
    client: 'bench',
    tls: '',
    tokenExpiresAt: null,
    startedAt: 1_763_800_000_000_000,
  }
}
