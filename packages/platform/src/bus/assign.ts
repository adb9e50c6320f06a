/**
 * Who of a group should hold which partition: a pure function of the membership and of who holds what now, so that
 * every member that looks at the same state comes to the same plan without a leader. Balanced first, and of the
 * balanced plans one that moves little.
 */
import type { Topic, TopicPartition } from '@portcullis/kernel'

export interface Subscriber {
  readonly id: string
  readonly topics: readonly string[]
}

export function partitionName({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

/** Partition name -> member id. Partitions to which nobody subscribes are left out. */
export function assign(
  members: readonly Subscriber[],
  partitions: ReadonlyMap<Topic, number>,
  owners: ReadonlyMap<string, string>,
): Map<string, string> {
  const plan = new Map<string, string>()
  const load = new Map(members.map(({ id }) => [id, 0]))
  for (const [topic, count] of [...partitions].sort(([a], [b]) => compare(a, b))) {
    const eligible = members.filter(({ topics }) => topics.includes(topic)).map(({ id }) => id)
    if (eligible.length === 0) continue
    assignTopic(topic, count, eligible, owners, plan, load)
  }
  return plan
}

function assignTopic(
  topic: Topic,
  count: number,
  eligible: readonly string[],
  owners: ReadonlyMap<string, string>,
  plan: Map<string, string>,
  load: Map<string, number>,
): void {
  const held = new Map<string, string[]>(eligible.map((id) => [id, []]))
  const free: string[] = []
  for (let partition = 0; partition < count; partition++) {
    const name = partitionName({ topic, partition })
    const keeper = held.get(owners.get(name) ?? '')
    ;(keeper ?? free).push(name)
  }
  // Those who hold most keep one more where the count does not divide; among equals those with less of other topics.
  const order = [...held].sort(
    ([a, heldA], [b, heldB]) =>
      heldB.length - heldA.length || (load.get(a) ?? 0) - (load.get(b) ?? 0) || compare(a, b),
  )
  const share = Math.floor(count / eligible.length)
  const extra = count % eligible.length
  const quota = new Map(order.map(([id], rank) => [id, share + (rank < extra ? 1 : 0)]))
  for (const [id, names] of order) free.push(...names.splice(quota.get(id) ?? 0))
  for (const [id, names] of order) {
    names.push(...free.splice(0, (quota.get(id) ?? 0) - names.length))
    for (const name of names) plan.set(name, id)
    load.set(id, (load.get(id) ?? 0) + names.length)
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
