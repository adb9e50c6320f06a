/**
 * One topic on disk: append, read, and let go of what need not be kept. It knows nothing of groups.
 *
 * Every write is a compare-and-swap on a version, carried out whole by lmdb's own thread. lmdb-js can also run a callback
 * inside a transaction, but then the write lock, which all processes share, waits for one process's event loop: a busy
 * or stopped process would hold up every other, and two that open topics at the same time can wait for each other for
 * ever.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { BusRecord, Received, Topic, TopicSpec } from '@portcullis/kernel'
import type { Database } from 'lmdb'
import { BusError } from '../errors.ts'
import type { BatchLimits } from '../limits.ts'
import { openBell } from './bell.ts'
import { createWakers } from './wakers.ts'
import { openStore, type Store, written } from './store.ts'
import { decodeStored, encodeStored, publishedMsOf } from './stored.ts'

export interface TopicLog {
  readonly topic: Topic
  spec(): TopicSpec
  /** Takes over retention settings; the number of partitions stays. */
  configure(spec: TopicSpec): Promise<void>
  /** Calls `wake` after records were added to the partition, by whichever process. Returns how to stop. */
  listen(partition: number, wake: () => void): () => void
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
  const meta: Database<Buffer, Key> = store.openDB({ name: 'meta', encoding: 'binary', useVersions: true })
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
  const bell = openBell(join(dir, 'bell'), pollMs)
  const { partitions } = spec

  const ends = (): number[] => {
    store.resetReadTxn()
    return decodeOffsets(meta.get(['ends']), partitions)
  }

  return {
    topic,
    spec: () => readSpec(meta) ?? spec,
    configure: (wanted) => ensureSpec(store, meta, wanted),
    listen: createWakers(bell, ends),
    ends,
    async append(records, nowMs) {
      const stored = records.map(({ key, value }) => ({
        partition: partitionOf(key, partitions),
        bytes: encodeStored(nowMs, key, value),
      }))
      for (;;) {
        store.resetReadTxn()
        const before = meta.getEntry(['ends'])
        const version = before?.version ?? 0
        const next = decodeOffsets(before?.value, partitions)
        const write = meta.ifVersion(['ends'], version, () => {
          for (const { partition, bytes } of stored) {
            const offset = next[partition] ?? 0
            log.put([partition, offset], bytes)
            next[partition] = offset + 1
          }
          meta.put(['ends'], encodeOffsets(next), version + 1)
        })
        // Another process was first: its records are before these. One of those that try always gets through.
        if (await written(write)) break
      }
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
        const old: Key[] = []
        for (const { key, value } of log.getRange({ ...range, limit: recordsMax })) {
          if (!isOld(value)) break
          old.push(key)
        }
        if (old.length > 0) await written(log.batch(() => void old.map((key) => log.remove(key))))
        trimmed += old.length
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
 * says which one it replaced. All of a step is one write, on condition that the cursor did not move meanwhile.
 */
async function compactStep(parts: Parts, nowMs: number, options: CompactOptions): Promise<number> {
  const { store, meta, log, latest, tombstones, partitions } = parts
  store.resetReadTxn()
  const before = meta.getEntry(['compacted'])
  const version = before?.version ?? 0
  const cursor = decodeOffsets(before?.value, partitions)
  const changes: (() => void)[] = []
  const seen = new Map<string, number>()
  let done = 0
  for (let partition = 0; partition < partitions; partition++) {
    const range = { start: [partition, cursor[partition] ?? 0], end: [partition + 1] }
    for (const { key, value } of log.getRange({ ...range, limit: options.recordsMax - done })) {
      if (publishedMsOf(value) > nowMs - options.lagMs) break
      const offset = Number(key[1])
      const record = decodeStored({ topic: 'portcullis.verdicts.v1', partition }, offset, value)
      const hash = createHash('sha256').update(record.key).digest('base64')
      const previous = seen.get(hash) ?? latest.get([hash])?.readDoubleLE()
      if (previous !== undefined) changes.push(() => log.remove([partition, previous]))
      seen.set(hash, offset)
      if (record.value === null)
        changes.push(() => tombstones.put([record.publishedMs, partition, offset], Buffer.from(hash)))
      cursor[partition] = offset + 1
      done++
    }
  }
  for (const [hash, offset] of seen) changes.push(() => latest.put([hash], encodeOffsets([offset])))
  const due = [...tombstones.getRange({ end: [nowMs - options.tombstoneMs], limit: options.recordsMax })]
  for (const { key, value } of due) {
    const [, partition = 0, offset = 0] = key
    const hash = value.toString()
    changes.push(() => tombstones.remove(key))
    if ((seen.get(hash) ?? latest.get([hash])?.readDoubleLE()) !== offset) continue
    changes.push(
      () => log.remove([partition, offset]),
      () => latest.remove([hash]),
    )
  }
  if (changes.length === 0) return 0
  const write = meta.ifVersion(['compacted'], version, () => {
    for (const change of changes) change()
    meta.put(['compacted'], encodeOffsets(cursor), version + 1)
  })
  return (await written(write)) ? done + due.length : 0
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
  const bytes = Buffer.from(JSON.stringify(spec))
  if (existing) {
    if (JSON.stringify(existing) !== bytes.toString()) await written(meta.put(['spec'], bytes, 1))
    return
  }
  const none = encodeOffsets(new Array<number>(spec.partitions).fill(0))
  const write = meta.ifNoExists(['spec'], () => {
    meta.put(['spec'], bytes, 1)
    meta.put(['ends'], none, 1)
    meta.put(['compacted'], none, 1)
  })
  const isFirst = await written(write)
  store.resetReadTxn()
  // Another process was first, perhaps with other settings.
  if (!isFirst) await ensureSpec(store, meta, wanted)
}

function readSpec(meta: Database<Buffer, Key>): TopicSpec | undefined {
  const stored = meta.get(['spec'])
  return stored && (JSON.parse(stored.toString()) as TopicSpec)
}

function decodeOffsets(stored: Buffer | undefined, partitions: number): number[] {
  return Array.from({ length: partitions }, (_, at) => stored?.readDoubleLE(at * 8) ?? 0)
}

function encodeOffsets(offsets: readonly number[]): Buffer {
  const stored = Buffer.allocUnsafe(offsets.length * 8)
  for (const [at, offset] of offsets.entries()) stored.writeDoubleLE(offset, at * 8)
  return stored
}

/** For a ring that was missed. */
const pollMs = 100
