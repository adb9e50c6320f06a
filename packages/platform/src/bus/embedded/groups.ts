/**
 * Who belongs to a group, who holds which partition, and how far each was handled: one lmdb environment for all groups.
 * There is no leader. Each member looks at the shared state and claims or lets go of its own share (assign.ts). Every
 * write is conditional: a claim has an epoch, the version of its record, and a commit under an old epoch does nothing,
 * so a member that was thought dead cannot move an offset.
 */
import { join } from 'node:path'
import type { Topic, TopicPartition } from '@portcullis/kernel'
import type { Database } from 'lmdb'
import { fate, type ProcessIdentity, thisProcess } from './alive.ts'
import { assign, partitionName } from '../assign.ts'
import { type Bell, openBell } from './bell.ts'
import { openStore, written } from './store.ts'

export interface Groups {
  readonly bell: Bell
  /** Adds the member and returns its handle. */
  join(group: string, memberId: string, topics: ReadonlyMap<Topic, number>): Promise<Membership>
  readerCheck(): void
  close(): Promise<void>
}

export interface Claim extends TopicPartition {
  readonly epoch: number
}

export interface Membership {
  /**
   * Removes members that are dead, claims what is free and due to this one, and returns what it holds now and which
   * of that it should let go. Joins again where others had taken this one for dead.
   */
  reconcile(): Promise<{ held: Claim[]; release: Claim[] }>
  heartbeat(): Promise<void>
  /** Whether the claim is still this member's, as of now. */
  holds(claim: Claim): boolean
  /** Gives partitions up. */
  release(claims: readonly Claim[]): Promise<void>
  /** Offset to go on from; undefined where the group never committed one. */
  committed(partition: TopicPartition): number | undefined
  /** Returns the claims that are no longer this member's: nothing was committed for them. */
  commit(offsets: ReadonlyMap<Claim, number>): Promise<Claim[]>
  leave(): Promise<void>
}

interface Member {
  readonly topics: readonly Topic[]
  readonly process: ProcessIdentity
  /** Also the version of its record. */
  readonly beat: number
}
/** The version of its record is the epoch: each change of owner is one more. */
interface Owner {
  readonly owner: string
}

export function openGroups(dir: string, sessionTimeoutMs: number): Groups {
  const store = openStore(dir)
  const members: Database<Member, Key> = store.openDB({
    name: 'members',
    encoding: 'json',
    useVersions: true,
  })
  const owners: Database<Owner, Key> = store.openDB({ name: 'owners', encoding: 'json', useVersions: true })
  const offsets: Database<number, Key> = store.openDB({ name: 'offsets', encoding: 'json' })
  const bell = openBell(join(dir, 'bell'), pollMs)
  const mine = thisProcess()

  async function join_(group: string, id: string, topics: ReadonlyMap<Topic, number>): Promise<Membership> {
    const me = (beat: number): Member => ({ topics: [...topics.keys()], process: mine, beat })
    const partitions = [...topics].flatMap(([topic, count]) =>
      Array.from({ length: count }, (_, partition): TopicPartition => ({ topic, partition })),
    )
    const ownerKey = ({ topic, partition }: TopicPartition) => [group, topic, partition]
    const seen = new Map<string, { beat: number; atMs: number }>()
    let beat = 1

    /** A lease is over when its beat stood still for so long by this process's own monotonic clock. */
    function isDead(memberId: string, member: Member): boolean {
      if (memberId === id) return false
      const before = seen.get(memberId)
      if (before?.beat !== member.beat) seen.set(memberId, { beat: member.beat, atMs: performance.now() })
      const verdict = fate(member.process, mine)
      if (verdict === 'dead') return true
      return before?.beat === member.beat && performance.now() - before.atMs > sessionTimeoutMs
    }

    function look() {
      store.resetReadTxn()
      const all = [...members.getRange({ start: [group], end: [group, endOfKeys] })].map(
        ({ key, value }) => ({
          id: String(key[1]),
          member: value,
        }),
      )
      const dead = all.filter((other) => isDead(other.id, other.member))
      const living = all.filter((other) => !dead.includes(other))
      const subscribers = living.map((other) => ({ id: other.id, topics: other.member.topics }))
      const holders = new Map<string, string>()
      const held: Claim[] = []
      const free: Claim[] = []
      for (const partition of partitions) {
        const current = owners.getEntry(ownerKey(partition))
        const epoch = current?.version ?? 0
        const owner = current?.value.owner ?? ''
        if (owner === id) held.push({ ...partition, epoch })
        if (subscribers.some((other) => other.id === owner)) holders.set(partitionName(partition), owner)
        else free.push({ ...partition, epoch })
      }
      const plan = assign(subscribers, topics, holders)
      const isDue = (partition: TopicPartition) => plan.get(partitionName(partition)) === id
      return {
        dead,
        isMember: living.some((other) => other.id === id),
        held,
        claimable: free.filter(isDue),
        release: held.filter((claim) => !isDue(claim)),
      }
    }

    /** False where somebody else was first. */
    async function claim({ epoch, ...partition }: Claim, owner: string): Promise<boolean> {
      const key = ownerKey(partition)
      if (epoch === 0) return written(owners.ifNoExists(key, () => owners.put(key, { owner }, 1)))
      return written(owners.put(key, { owner }, epoch + 1, epoch))
    }

    const membership: Membership = {
      async reconcile() {
        const before = look()
        if (before.isMember && before.dead.length === 0 && before.claimable.length === 0) return before
        await Promise.all([
          // Taken for dead: join again. What is still under this id is still this member's.
          before.isMember ? true : written(members.put([group, id], me(beat), beat)),
          // Only if it is as dead as it looked: a heartbeat in between changes the version.
          ...before.dead.map((other) => written(members.remove([group, other.id], other.member.beat))),
          ...before.claimable.map((partition) => claim(partition, id)),
        ])
        bell.ring()
        return look()
      },
      async heartbeat() {
        if (await written(members.put([group, id], me(beat + 1), beat + 1, beat))) beat++
      },
      holds(one) {
        store.resetReadTxn()
        return owners.getEntry(ownerKey(one))?.version === one.epoch
      },
      async release(claims) {
        await Promise.all(claims.map((one) => claim(one, nobody)))
        bell.ring()
      },
      committed(partition) {
        store.resetReadTxn()
        return offsets.get(ownerKey(partition))
      },
      async commit(handled) {
        const fenced: Claim[] = []
        const writes = [...handled].map(async ([one, offset]) => {
          const key = ownerKey(one)
          const isDone = await written(owners.ifVersion(key, one.epoch, () => offsets.put(key, offset)))
          if (!isDone) fenced.push(one)
        })
        await Promise.all(writes)
        return fenced
      },
      async leave() {
        await written(members.remove([group, id]))
        await membership.release(look().held)
      },
    }

    await written(members.put([group, id], me(beat), beat))
    bell.ring()
    return membership
  }

  return {
    bell,
    join: join_,
    readerCheck: () => store.readerCheck(),
    async close() {
      bell.close()
      await store.close()
    },
  }
}

type Key = (string | number)[]

/** How often members look for others that died; everything else rings. */
const pollMs = 500
/** Whom a partition belongs to that was given up. */
const nobody = ''
/** Sorts after every member id. */
const endOfKeys = '\uffff'
