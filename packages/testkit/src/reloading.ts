/** A running system whose proxy is reloaded: what tests of that need to ask and to wait for. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock, topics } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { until } from './chaos/settle.ts'
import type { System } from './system.ts'

const workerScript = 'services/proxy/src/worker.ts'

export function workersOf(system: System): number[] {
  return system.childrenOf('proxy', workerScript)
}

/** Sends SIGHUP and waits for what comes of it; returns the lines logged meanwhile. */
export async function reload(
  system: System,
  outcome: 'is in force' | 'is refused' | 'is not wholly in force' = 'is in force',
): Promise<string> {
  const from = system.log().length
  process.kill(system.pid('proxy'), 'SIGHUP')
  const line = `"the new configuration ${outcome}"`
  await until(line, 60_000, () => system.log().slice(from).includes(line))
  return system.log().slice(from)
}

/** Changes the configuration file of the first proxy; returns how to change it back. */
export function edit(system: System, from: RegExp | string, to: string): () => void {
  const file = join(system.dir, 'gate-1.yaml')
  const before = readFileSync(file, 'utf8')
  const after = before.replace(from, to)
  assert.notEqual(after, before)
  writeFileSync(file, after)
  return () => writeFileSync(file, before)
}

/** One sample of /metrics, 0 where it is not there. `name` with its labels as Prometheus writes them. */
export async function metric(system: System, name: string): Promise<number> {
  const text = await (await fetch(`${system.healthUrl('proxy')}/metrics`)).text()
  const escaped = name.replace(/[{}]/g, '\\$&')
  const found = new RegExp(`^${escaped.replace('\\}', '[^}]*\\}')}(?:\\{[^}]*\\})? (.*)$`, 'm').exec(text)
  return Number(found?.[1] ?? 0)
}

/** As the analyzer would: on the bus. */
export async function publishBlock(system: System, subject: string): Promise<void> {
  const bus = await connectBus(`lmdb:${join(system.dir, 'bus')}`, {
    logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  })
  const now = systemClock.nowUs()
  const verdictId = `v-${subject}`
  const value = createCodecs().verdict.encode({
    verdictId,
    state: 'active',
    action: 'block',
    subject: { kind: 'identity', issuer: system.issuer.issuer, id: subject, instance: '' },
    target: '',
    issuedAt: now,
    until: now + 600_000_000,
    ratePerMinute: 0,
    cancelRunning: false,
    reason: 'verdict_block',
    explanation: 'a test says so',
    findings: [],
    causeCommandId: 's.1',
    causeReceivedAt: now,
    issuedBy: 'analyzer',
  })
  await bus.value.publish([{ topic: topics.verdicts, key: verdictId, value }])
  await bus.stop()
}

function quiet(): void {}
