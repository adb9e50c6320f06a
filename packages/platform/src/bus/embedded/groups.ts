/**
 * Who belongs to a group, who holds which partition, and how far each was handled: one lmdb environment for all groups.
 * There is no leader. Each member looks at the shared state and claims or lets go of its own share (assign.ts); a claim
 * has an epoch, and a commit under an old epoch is refused, so a member that was thought dead cannot move an offset.
 */
import { join } from 'node:path'
import type { Topic, TopicPartition } from '@portcullis/kernel'
import type { Database } from 'lmdb'
import { fate, type ProcessIdentity, thisProcess } from './alive.ts'
import { assign, partitionName } from '../assign.ts'
import { type Bell, openBell } from './bell.ts'
import { openStore } from './store.ts'

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
  readonly beat: number
}
interface Owner {
  readonly owner: string
  readonly epoch: number
}

export function openGroups(dir: string, sessionTimeoutMs: number): Groups {
  const store = openStore(dir)
  const members: Database<Member, Key> = store.openDB({ name: 'members', encoding: 'json' })
  const owners: Database<Owner, Key> = store.openDB({ name: 'owners', encoding: 'json' })
  const offsets: Database<number, Key> = store.openDB({ name: 'offsets', encoding: 'json' })
  const bell = openBell(join(dir, 'bell'))
  const mine = thisProcess()

  async function join_(group: string, id: string, topics: ReadonlyMap<Topic, number>): Promise<Membership> {
    const me = (beat: number): Member => ({ topics: [...topics.keys()], process: mine, beat })
    const partitions = [...topics].flatMap(([topic, count]) =>
      Array.from({ length: count }, (_, partition): TopicPartition => ({ topic, partition })),
    )
    const ownerKey = ({ topic, partition }: TopicPartition) => [group, topic, partition]
    const seen = new Map<string, { beat: number; atMs: number }>()
    let beat = 0

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
      const all = [...members.getRange({ start: [group], end: [group, endOfKeys] })].map(
        ({ key, value }) => ({
          id: String(key[1]),
          member: value,
        }),
      )
      const dead = all.filter((other) => isDead(other.id, other.member)).map((other) => other.id)
      const living = all.filter((other) => !dead.includes(other.id))
      const subscribers = living.map((other) => ({ id: other.id, topics: other.member.topics }))
      const holders = new Map<string, string>()
      const held: Claim[] = []
      const free: { partition: TopicPartition; epoch: number }[] = []
      for (const partition of partitions) {
        const current = owners.get(ownerKey(partition))
        const isHeld = current !== undefined && subscribers.some((other) => other.id === current.owner)
        if (isHeld) holders.set(partitionName(partition), current.owner)
        else free.push({ partition, epoch: current?.epoch ?? 0 })
        if (current?.owner === id) held.push({ ...partition, epoch: current.epoch })
      }
      const plan = assign(subscribers, topics, holders)
      const isDue = (partition: TopicPartition) => plan.get(partitionName(partition)) === id
      return {
        dead,
        isMember: living.some((other) => other.id === id),
        held,
        claimable: free.filter(({ partition }) => isDue(partition)),
        release: held.filter((claim) => !isDue(claim)),
      }
    }

    const membership: Membership = {
      async reconcile() {
        store.resetReadTxn()
        const before = look()
        if (before.isMember && before.dead.length === 0 && before.claimable.length === 0) return before
        const after = await store.transaction(() => {
          // Taken for dead, or just joining: whatever was held under this id is void.
          if (!members.doesExist([group, id])) members.put([group, id], me(beat))
          for (const other of look().dead) members.remove([group, other])
          const now = look()
          const claimed = now.claimable.map(({ partition, epoch }) => {
            owners.put(ownerKey(partition), { owner: id, epoch: epoch + 1 })
            return { ...partition, epoch: epoch + 1 }
          })
          return { held: [...now.held, ...claimed], release: now.release }
        })
        bell.ring()
        return after
      },
      async heartbeat() {
        beat++
        await store.transaction(() => {
          if (members.doesExist([group, id])) members.put([group, id], me(beat))
        })
      },
      async release(claims) {
        await store.transaction(() => releaseAll(claims))
        bell.ring()
      },
      committed(partition) {
        store.resetReadTxn()
        return offsets.get(ownerKey(partition))
      },
      commit: (handled) =>
        store.transaction(() => {
          const fenced: Claim[] = []
          for (const [claim, offset] of handled) {
            if (isMine(claim)) offsets.put(ownerKey(claim), offset)
            else fenced.push(claim)
          }
          return fenced
        }),
      async leave() {
        await store.transaction(() => {
          members.remove([group, id])
          releaseAll(look().held)
        })
        bell.ring()
      },
    }

    function isMine(claim: Claim): boolean {
      const current = owners.get(ownerKey(claim))
      return current?.owner === id && current.epoch === claim.epoch
    }

    function releaseAll(claims: readonly Claim[]): void {
      for (const claim of claims)
        if (isMine(claim)) owners.put(ownerKey(claim), { owner: '', epoch: claim.epoch })
    }

    await store.transaction(() => members.put([group, id], me(beat)))
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

/** Sorts after every member id. */
const endOfKeys = '\uffff'
