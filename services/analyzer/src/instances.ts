/**
 * Which running copy of an identity was busiest of late: where verdicts name the copy, too much is laid to the one that
 * does most, not to whichever happened to send the command that tipped it. Bounded: of very many copies in one minute
 * only the first are counted.
 */
import type { CommandEvent } from '@portcullis/kernel'
import { minuteUs } from './settings.ts'

/** Commands by instance, in the running minute and the one before. */
export interface Instances {
  minute: number
  now: [string, number][]
  before: [string, number][]
}

const instancesMax = 16

export function emptyInstances(): Instances {
  return { minute: 0, now: [], before: [] }
}

/** Changes `instances`. */
export function countInstance(instances: Instances, { identity, startedAt }: CommandEvent): void {
  const minute = Math.floor(startedAt / minuteUs)
  if (minute < instances.minute) return
  if (minute > instances.minute) {
    instances.before = minute === instances.minute + 1 ? instances.now : []
    instances.now = []
    instances.minute = minute
  }
  const found = instances.now.find(([instance]) => instance === identity.instance)
  if (found) found[1]++
  else if (instances.now.length < instancesMax) instances.now.push([identity.instance, 1])
}

/** The instance of `event` where several have done as much. */
export function busiestInstance({ now, before }: Instances, { identity }: CommandEvent): string {
  const counts = new Map<string, number>([[identity.instance, 0]])
  for (const [instance, commands] of [...now, ...before])
    counts.set(instance, (counts.get(instance) ?? 0) + commands)
  let busiest = identity.instance
  for (const [instance, commands] of counts) if (commands > (counts.get(busiest) ?? 0)) busiest = instance
  return busiest
}
