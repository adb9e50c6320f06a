/**
 * Snapshots of baselines on the compacted baselines topic, and how a partition is taken up again from them.
 *
 * A checkpoint is published in three steps, each durable before the next: the snapshot of every identity changed since
 * the last one; the mark, an event with an empty identity that says up to which offset all are held; tombstones for
 * identities forgotten before the mark. Killed between any two, the next reader finds the old mark with some snapshots
 * ahead of it: it resumes at the mark and skips, identity by identity, what its snapshot already holds. The state is a
 * function of the partition's order, so whoever writes a snapshot for an offset writes the same bytes.
 *
 * The mark counts the snapshots it rests on in a digest. A member that was silent, lost its partition and woke up may
 * write an older snapshot over a newer one; the digest shows it, and the partition is folded anew from its beginning.
 */
import { type BaselineEvent, type Bus, type BusRecord, topics } from '@portcullis/kernel'
import { type Baseline, type BaselineFold, baselineVersion } from './baseline.ts'
import { AnalyzerError } from './errors.ts'
import { emptyPartition, forgetUs, type Partition } from './pipeline.ts'

export interface BaselineCodec {
  encode(event: BaselineEvent): Uint8Array
  /** Throws where the bytes are no baseline event. */
  decode(bytes: Uint8Array): BaselineEvent
}

/** Publishes what changed since the last checkpoint; resolves to how many snapshots that were. Changes `partition`. */
export async function checkpoint(bus: Bus, codec: BaselineCodec, partition: Partition): Promise<number> {
  const { nextOffset, lastAt, forgotten, toBury } = partition
  const record = (identity: string, offset: number, at: number, state: object): BusRecord => ({
    topic: topics.baselines,
    key: keyOf(partition.partition, identity),
    value: codec.encode({
      identity,
      partition: partition.partition,
      nextOffset: offset,
      at,
      stateVersion: baselineVersion,
      state: JSON.stringify(state),
    }),
  })
  const dirty = [...partition.identities].filter(([, held]) => held.dirty)
  const snapshots = dirty.map(([identity, { baseline, nextOffset: offset, markedOffset }]) =>
    record(identity, offset, baseline.lastAt, { markedOffset, baseline }),
  )
  if (snapshots.length > 0) await bus.publish(snapshots)

  let digest = partition.digest
  for (const [identity, held] of dirty)
    digest ^= mark(identity, held.markedOffset) ^ mark(identity, held.nextOffset)
  for (const [identity, markedOffset] of forgotten) digest ^= mark(identity, markedOffset)
  await bus.publish([record('', nextOffset, lastAt, { digest })])
  partition.digest = digest
  for (const [, held] of dirty) {
    held.dirty = false
    held.markedOffset = held.nextOffset
  }
  for (const identity of forgotten.keys()) toBury.add(identity)
  forgotten.clear()

  const tombstones = [...toBury].map((identity) => ({
    topic: topics.baselines,
    key: keyOf(partition.partition, identity),
    value: null,
  }))
  if (tombstones.length > 0) await bus.publish(tombstones)
  toBury.clear()
  return snapshots.length
}

export interface Loaded {
  readonly partition: Partition
  /** Why its snapshots could not be used and it is folded anew; undefined where they could. */
  readonly problem: string | undefined
}

/** These partitions as their snapshots hold them. Reads the topic once. */
export async function loadPartitions(
  bus: Bus,
  codec: BaselineCodec,
  fold: BaselineFold,
  wanted: readonly number[],
): Promise<Map<number, Loaded>> {
  const latest = new Map(wanted.map((partition) => [partition, new Map<string, Uint8Array>()]))
  const caughtUp = Promise.withResolvers<void>()
  const reader = await bus.tail({
    topics: [topics.baselines],
    from: 'earliest',
    onBatch(records) {
      for (const { key, value } of records) {
        const snapshots = latest.get(Number.parseInt(key, 10))
        if (value === null) snapshots?.delete(key)
        // A copy: the bytes may be a view of a batch that would be kept alive by it.
        else snapshots?.set(key, Uint8Array.from(value))
      }
    },
    onCaughtUp: caughtUp.resolve,
  })
  try {
    await caughtUp.promise
  } finally {
    await reader.stop()
  }
  return new Map(
    [...latest].map(([partition, snapshots]) => [partition, load(partition, snapshots, codec, fold)]),
  )
}

/** Partition and identity; the mark's identity is empty. */
function keyOf(partition: number, identity: string): string {
  return `${partition}/${identity}`
}

function load(
  partition: number,
  snapshots: ReadonlyMap<string, Uint8Array>,
  codec: BaselineCodec,
  fold: BaselineFold,
): Loaded {
  try {
    const events = [...snapshots.values()].map((value) => codec.decode(value))
    return { partition: restore(partition, events, fold), problem: undefined }
  } catch (cause) {
    return {
      partition: emptyPartition(partition),
      problem: cause instanceof Error ? cause.message : String(cause),
    }
  }
}

function restore(partition: number, events: readonly BaselineEvent[], fold: BaselineFold): Partition {
  const strange = events.find(({ stateVersion }) => stateVersion !== baselineVersion)
  if (strange)
    throw new AnalyzerError(
      'snapshot',
      `state version ${strange.stateVersion} is not ${baselineVersion}, ours`,
    )
  const restored = emptyPartition(partition)
  const markEvent = events.find(({ identity }) => identity === '')
  restored.nextOffset = markEvent?.nextOffset ?? 0
  restored.lastAt = markEvent?.at ?? 0
  restored.digest = markEvent ? numberIn(markEvent.state, 'digest') : 0
  let digest = 0
  for (const { identity, nextOffset, at, state } of events) {
    if (identity === '') continue
    const held = nextOffset <= restored.nextOffset
    if (held && at < restored.lastAt - forgetUs) {
      // Forgotten before the mark, but the tombstone was not written any more.
      restored.toBury.add(identity)
      continue
    }
    const markedOffset = held ? nextOffset : numberIn(state, 'markedOffset')
    digest ^= mark(identity, markedOffset)
    restored.identities.set(identity, {
      baseline: fold.restore(baselineIn(state)),
      nextOffset,
      dirty: !held,
      markedOffset,
    })
  }
  if (digest !== restored.digest)
    throw new AnalyzerError('snapshot', 'the snapshots are not those that the last mark counted')
  return restored
}

function baselineIn(json: string): Baseline {
  return (JSON.parse(json) as { baseline: Baseline }).baseline
}

function numberIn(json: string, name: string): number {
  const value = (JSON.parse(json) as Record<string, unknown>)[name]
  if (typeof value !== 'number') throw new AnalyzerError('snapshot', `a snapshot without ${name}`)
  return value
}

/** FNV-1a over identity and offset, as a signed 32-bit integer; 0 for no snapshot. */
function mark(identity: string, offset: number): number {
  if (offset < 0) return 0
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(`${offset} ${identity}`)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash | 0
}
