/** Medians and CPU, as every group of the Postgres measurements takes them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuSec } from '@portcullis/testkit/system'

/** Processes that a side consists of, by what they are: one kind is one line of a table. */
export type Parts = Readonly<Record<string, readonly number[]>>

/** Seconds of CPU by kind of process. */
export type CpuSec = Readonly<Record<string, number>>

export function median(numbers: readonly number[]): number {
  return quantile(numbers, 0.5)
}

/** NaN of no numbers. */
export function quantile(numbers: readonly number[], part: number): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

/** Runs `work` and tells what CPU it cost the processes, what they do for it afterwards included. */
export async function cpuOf<T>(
  parts: Parts,
  work: () => Promise<T>,
): Promise<{ readonly value: T; readonly cpu: CpuSec }> {
  const before = read(parts)
  const value = await work()
  // The agent ships behind: what it has yet to ship belongs to this work, not to the next side's.
  await quiet(parts)
  const after = read(parts)
  return {
    value,
    cpu: Object.fromEntries(Object.entries(after).map(([name, sec]) => [name, sec - (before[name] ?? 0)])),
  }
}

/** Waits until the processes together take less than 5 % of a core, at most `msMax`. */
export async function quiet(parts: Parts, msMax = 10_000): Promise<void> {
  const deadline = performance.now() + msMax
  for (let busy = true; busy && performance.now() < deadline; ) {
    const before = sum(Object.values(read(parts)))
    const sinceMs = performance.now()
    await sleep(200)
    busy = (sum(Object.values(read(parts))) - before) * 1000 > 0.05 * (performance.now() - sinceMs)
  }
}

function read(parts: Parts): CpuSec {
  return Object.fromEntries(Object.entries(parts).map(([name, pids]) => [name, sum(pids.map(cpuSec))]))
}
