/**
 * Snapshots of baselines on the compacted baselines topic, and how a partition is taken up again from them.
 *
 * A checkpoint is published in three steps, each durable before the next: the snapshot of every identity changed since
 * the last one; the mark, an event with an empty identity that says up to which offset all are held; tombstones for
 * identities forgotten before the mark. Killed between any two, the next reader finds the old mark with some snapshots
 * ahead of it: it resumes at the mark and skips, identity by identity, what its snapshot already holds. The state is a
 * function of the partition's order, so whoever writes a snapshot for an offset writes the same bytes.
 */
import { type BaselineEvent, type Bus, type BusRecord, topics } from '@portcullis/kernel'
import { type BaselineFold, baselineVersion } from './baseline.ts'
import { emptyPartition, forgetUs, type Partition } from './pipeline.ts'

export interface BaselineCodec {
  encode(event: BaselineEvent): Uint8Array
  /** Throws where the bytes are no baseline event. */
  decode(bytes: Uint8Array): BaselineEvent
}

/** Publishes what changed since the last checkpoint. Changes `partition` once all of it is durable. */
export async function checkpoint(bus: Bus, codec: BaselineCodec, partition: Partition): Promise<number> {
  const dirty = [...partition.identities].filter(([, held]) => held.dirty)
  const record = (event: BaselineEvent): BusRecord => ({
    topic: topics.baselines,
    key: keyOf(partition.partition, event.identity),
    value: codec.encode(event),
  })
  const common = { partition: partition.partition, stateVersion: baselineVersion }
  const snapshots = dirty.map(([identity, { baseline, nextOffset }]) =>
    record({ ...common, identity, nextOffset, at: baseline.lastAt, state: JSON.stringify(baseline) }),
  )
  if (snapshots.length > 0) await bus.publish(snapshots)
  const { nextOffset, lastAt } = partition
  await bus.publish([record({ ...common, identity: '', nextOffset, at: lastAt, state: '{}' })])
  const gone = [...partition.forgotten]
  if (gone.length > 0)
    await bus.publish(
      gone.map((identity) => ({
        topic: topics.baselines,
        key: keyOf(partition.partition, identity),
        value: null,
      })),
    )
  for (const [, held] of dirty) held.dirty = false
  for (const identity of gone) partition.forgotten.delete(identity)
  return snapshots.length
}

/** The latest snapshot of each of these partitions' identities, and their marks. Reads the topic once. */
export async function loadPartitions(
  bus: Bus,
  codec: BaselineCodec,
  fold: BaselineFold,
  wanted: readonly number[],
): Promise<Map<number, Partition>> {
  const latest = new Map(wanted.map((partition) => [partition, new Map<string, BaselineEvent>()]))
  const caughtUp = Promise.withResolvers<void>()
  const reader = await bus.tail({
    topics: [topics.baselines],
    from: 'earliest',
    onBatch(records) {
      for (const { key, value } of records) {
        const snapshots = latest.get(Number.parseInt(key, 10))
        if (!snapshots) continue
        if (value === null) snapshots.delete(key)
        else keepLater(snapshots, key, codec.decode(value))
      }
    },
    onCaughtUp: caughtUp.resolve,
  })
  try {
    await caughtUp.promise
  } finally {
    await reader.stop()
  }
  return new Map(wanted.map((partition) => [partition, restore(partition, latest.get(partition), fold)]))
}

/** Partition and identity; the mark's identity is empty. */
function keyOf(partition: number, identity: string): string {
  return `${partition}/${identity}`
}

/** A writer that lost its partition may have written last, but what it wrote lies further back. */
function keepLater(snapshots: Map<string, BaselineEvent>, key: string, event: BaselineEvent): void {
  const known = snapshots.get(key)
  if (!known || event.nextOffset >= known.nextOffset) snapshots.set(key, event)
}

function restore(
  partition: number,
  snapshots: ReadonlyMap<string, BaselineEvent> | undefined,
  fold: BaselineFold,
): Partition {
  const restored = emptyPartition(partition)
  const events = [...(snapshots?.values() ?? [])]
  // Another version of us folded these: fold the partition anew, from its beginning.
  if (events.some(({ stateVersion }) => stateVersion !== baselineVersion)) return restored
  const mark = snapshots?.get(keyOf(partition, ''))
  restored.nextOffset = mark?.nextOffset ?? 0
  restored.lastAt = mark?.at ?? 0
  for (const { identity, nextOffset, at, state } of events) {
    if (identity === '') continue
    // Forgotten before the mark, but the tombstone was not written any more.
    if (at < restored.lastAt - forgetUs && nextOffset <= restored.nextOffset) restored.forgotten.add(identity)
    else restored.identities.set(identity, { baseline: fold.restore(state), nextOffset, dirty: false })
  }
  return restored
}
