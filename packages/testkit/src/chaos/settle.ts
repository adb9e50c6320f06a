/**
 * Waits until what a system recorded stands in its audit trail, so that it can be judged. It waits for the living and
 * for the dead alike, and fails where something stays behind.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus } from '@portcullis/kernel'
import type { AuditStore } from '@portcullis/platform/audit'
import type { System } from '../system.ts'
import { isProjected } from './trail.ts'

/** After the last client: every recorder is shipped to its end, and all of the bus is projected. Stops the proxy. */
export async function settle(
  system: System,
  store: AuditStore,
  bus: Bus,
  { workers = 2, msMax = 30_000 } = {},
): Promise<void> {
  const recorders = () =>
    readdirSync(join(system.dir, 'data/proxy/gate-1/records')).filter((name) => !name.startsWith('.'))
  await until('only the living to record', msMax, () => recorders().length <= workers)
  await system.stopPart('proxy:gate-1')
  const left = recorders()
  if (left.length > 0) {
    // The stop ran out of time; a successor ships what it left.
    await system.startPart('proxy:gate-1')
    await until(
      'what a stop left to be shipped',
      msMax,
      () => !recorders().some((name) => left.includes(name)),
    )
  }
  await until('all of the bus to be projected', msMax, () => isProjected(store, bus))
}

export async function until(
  what: string,
  msMax: number,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + msMax
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`waited ${msMax / 1000} s in vain for ${what}`)
    await sleep(100)
  }
}
