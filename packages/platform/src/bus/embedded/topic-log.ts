/**
 * One topic on disk: append, read, and let go of what need not be kept. Offsets are given inside the transaction that
 * writes the record, so they have no gap and no other process can give the same. It knows nothing of groups.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { BusRecord, Received, Topic, TopicSpec } from '@portcullis/kernel'
import type { Database } from 'lmdb'
import { BusError } from '../errors.ts'
import type { BatchLimits } from '../limits.ts'
import { type Bell, openBell } from './bell.ts'
import { openStore, type Store } from './store.ts'
import { decodeStored, encodeStored, publishedMsOf } from './stored.ts'

export interface TopicLog {
  readonly topic: Topic
  readonly bell: Bell
  spec(): TopicSpec
  /** In one transaction; durable when it resolves. The records must have passed `checkRecord`. */
  append(records: readonly BusRecord[], nowMs: number): Promise<void>
  /** Offset after the last record of each partition, as of now. */
  ends(): number[]
  /** What is kept from `from` on, at most `limits` (at least one record), and where to go on. */
  read(partition: number, from: number, limits: BatchLimits): { records: Received[]; next: number }
  /** Drops up to `recordsMax` records that are older than the topic's retention; returns how many. */
  trim(nowMs: number, recordsMax: number): Promise<number>
  /** Takes up to `recordsMax` records into account for compaction; returns how many. */
  compact(nowMs: number, options: CompactOptions): Promise<number>
  readerCheck(): void
  close(): Promise<void>
}

export interface CompactOptions {
  readonly recordsMax: number
  /** Records younger than this stay as they are. */
  readonly lagMs: number
  /** How long a tombstone is shown to readers before it goes too. */
  readonly tombstoneMs: number
}

/** `create` makes the topic where it is missing and takes over new retention settings; without it a missing one throws. */
export async function openTopicLog(dir: string, topic: Topic, create?: TopicSpec): Promise<TopicLog> {
  if (!create && !existsSync(join(dir, 'data.mdb')))
    throw new BusError('unknown_topic', `${topic} does not exist: ensureTopics creates it`)
  const store = openStore(dir)
  const part = (name: string): Database<Buffer, Key> => store.openDB({ name, encoding: 'binary' })
  const meta = part('meta')
  if (create) await ensureSpec(store, meta, create)
  const spec = readSpec(meta)
  if (!spec) {
    await store.close()
    throw new BusError('unknown_topic', `${topic} does not exist: ensureTopics creates it`)
  }
  const log = part('log')
  const compaction = {
    store,
    meta,
    log,
    latest: part('latest'),
    tombstones: part('tombstones'),
    partitions: spec.partitions,
  }
  const bell = openBell(join(dir, 'bell'))
  const { partitions } = spec

  const ends = (): number[] => {
    store.resetReadTxn()
    return readOffsets(meta, 'ends', partitions)
  }

  return {
    topic,
    bell,
    spec: () => readSpec(meta) ?? spec,
    ends,
    async append(records, nowMs) {
      await store.transaction(() => {
        const next = readOffsets(meta, 'ends', partitions)
        for (const { key, value } of records) {
          const partition = partitionOf(key, partitions)
          const offset = next[partition] ?? 0
          log.put([partition, offset], encodeStored(nowMs, key, value))
          next[partition] = offset + 1
        }
        meta.put(['ends'], encodeOffsets(next))
      })
      bell.ring()
    },
    read(partition, from, limits) {
      const end = ends()[partition] ?? 0
      const records: Received[] = []
      if (from >= end) return { records, next: from }
      let bytes = 0
      for (const { key, value } of log.getRange({ start: [partition, from], end: [partition, end] })) {
        if (records.length > 0 && bytes + value.byteLength > limits.bytesMax)
          return { records, next: Number(key[1]) }
        bytes += value.byteLength
        records.push(decodeStored({ topic, partition }, Number(key[1]), value))
        if (records.length >= limits.recordsMax) return { records, next: Number(key[1]) + 1 }
      }
      return { records, next: end }
    },
    async trim(nowMs, recordsMax) {
      const { retentionMs, cleanup } = readSpec(meta) ?? spec
      if (retentionMs < 0 || cleanup !== 'delete') return 0
      const isOld = (value: Buffer) => publishedMsOf(value) < nowMs - retentionMs
      let trimmed = 0
      for (let partition = 0; partition < partitions; partition++) {
        const range = { start: [partition, 0], end: [partition + 1] }
        const first = [...log.getRange({ ...range, limit: 1 })][0]
        if (!first || !isOld(first.value)) continue
        await store.transaction(() => {
          const old: Key[] = []
          for (const { key, value } of log.getRange({ ...range, limit: recordsMax })) {
            if (!isOld(value)) break
            old.push(key)
          }
          for (const key of old) log.remove(key)
          trimmed += old.length
        })
      }
      return trimmed
    },
    compact: (nowMs, options) => compactStep(compaction, nowMs, options),
    readerCheck: () => store.readerCheck(),
    async close() {
      bell.close()
      await store.close()
    },
  }
}

/** Which partition a key belongs to, for ever (FNV-1a, 32 bits). */
export function partitionOf(key: string, partitions: number): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(key)) hash = Math.imul(hash ^ byte, 0x01000193)
  return (hash >>> 0) % partitions
}

type Key = (string | number)[]

interface Parts {
  readonly store: Store
  readonly meta: Database<Buffer, Key>
  readonly log: Database<Buffer, Key>
  readonly latest: Database<Buffer, Key>
  readonly tombstones: Database<Buffer, Key>
  readonly partitions: number
}

/**
 * A fold over the log with a cursor: `latest` holds where each key was last seen, so a record that takes a key's place
 * says which one it replaced. All of a step is one transaction; two cleaners at once would do no harm.
 */
async function compactStep(parts: Parts, nowMs: number, options: CompactOptions): Promise<number> {
  const { store, meta, log, latest, tombstones, partitions } = parts
  store.resetReadTxn()
  const ends = readOffsets(meta, 'ends', partitions)
  const idle = readOffsets(meta, 'compacted', partitions).every((offset, at) => offset >= (ends[at] ?? 0))
  const oldest = [...tombstones.getRange({ limit: 1 })][0]
  if (idle && !(oldest && Number(oldest.key[0]) < nowMs - options.tombstoneMs)) return 0

  return store.transaction(() => {
    let done = 0
    const cursor = readOffsets(meta, 'compacted', partitions)
    for (let partition = 0; partition < partitions; partition++) {
      const range = { start: [partition, cursor[partition] ?? 0], end: [partition + 1] }
      const superseded: Key[] = []
      for (const { key, value } of log.getRange({ ...range, limit: options.recordsMax - done })) {
        if (publishedMsOf(value) > nowMs - options.lagMs) break
        const offset = Number(key[1])
        const record = decodeStored({ topic: topicless, partition }, offset, value)
        const hash = [createHash('sha256').update(record.key).digest('base64')]
        const before = latest.get(hash)
        if (before && before.readDoubleLE() !== offset) superseded.push([partition, before.readDoubleLE()])
        latest.put(hash, encodeOffsets([offset]))
        if (record.value === null)
          tombstones.put([record.publishedMs, partition, offset], Buffer.from(hash[0] ?? ''))
        cursor[partition] = offset + 1
        done++
      }
      for (const key of superseded) log.remove(key)
    }
    meta.put(['compacted'], encodeOffsets(cursor))
    const due = [...tombstones.getRange({ end: [nowMs - options.tombstoneMs], limit: options.recordsMax })]
    for (const { key, value } of due) {
      const [, partition = 0, offset = 0] = key
      const hash = [value.toString()]
      if (latest.get(hash)?.readDoubleLE() === offset) {
        log.remove([partition, offset])
        latest.remove(hash)
      }
      tombstones.remove(key)
    }
    return done + due.length
  })
}

async function ensureSpec(store: Store, meta: Database<Buffer, Key>, wanted: TopicSpec): Promise<void> {
  const existing = readSpec(meta)
  if (existing && wanted.partitions === 1 && existing.partitions !== 1)
    throw new BusError(
      'topic_conflict',
      `${wanted.topic} must have one partition and has ${existing.partitions}`,
    )
  // Another count would send a key's next record to another partition and break its order: the first one stays.
  const spec = { ...wanted, partitions: existing?.partitions ?? wanted.partitions }
  if (existing && JSON.stringify(existing) === JSON.stringify(spec)) return
  await store.transaction(() => {
    const partitions = readSpec(meta)?.partitions ?? spec.partitions
    meta.put(['spec'], Buffer.from(JSON.stringify({ ...spec, partitions })))
    if (!meta.get(['ends'])) meta.put(['ends'], encodeOffsets(new Array<number>(partitions).fill(0)))
  })
}

function readSpec(meta: Database<Buffer, Key>): TopicSpec | undefined {
  const stored = meta.get(['spec'])
  return stored && (JSON.parse(stored.toString()) as TopicSpec)
}

function readOffsets(meta: Database<Buffer, Key>, name: string, partitions: number): number[] {
  const stored = meta.get([name])
  return Array.from({ length: partitions }, (_, at) => stored?.readDoubleLE(at * 8) ?? 0)
}

function encodeOffsets(offsets: readonly number[]): Buffer {
  const stored = Buffer.allocUnsafe(offsets.length * 8)
  for (const [at, offset] of offsets.entries()) stored.writeDoubleLE(offset, at * 8)
  return stored
}

/** Compaction needs no topic name; decodeStored wants one. */
const topicless: Topic = 'portcullis.verdicts.v1'
