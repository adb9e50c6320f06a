/**
 * Sticky assignment for kafkajs, which has only round robin: each member tells what it holds, and the leader moves as
 * little as a balanced share allows. A partition that stays needs no new state.
 */
import type { Topic } from '@portcullis/kernel'
import { AssignerProtocol, type PartitionAssigner } from 'kafkajs'
import { assign } from '../assign.ts'

/** `held` returns the names (TOPIC/PARTITION) of what this member holds now. */
export function stickyAssigner(held: () => readonly string[]): PartitionAssigner {
  return ({ cluster }) => ({
    name: assignerName,
    version: 1,
    protocol({ topics }) {
      const userData = Buffer.from(JSON.stringify(held()))
      return {
        name: assignerName,
        metadata: AssignerProtocol.MemberMetadata.encode({ version: 1, topics, userData }),
      }
    },
    async assign({ members }) {
      const owners = new Map<string, string>()
      const subscribers = members.map(({ memberId, memberMetadata }) => {
        const metadata = AssignerProtocol.MemberMetadata.decode(memberMetadata)
        for (const name of readHeld(metadata?.userData)) owners.set(name, memberId)
        return { id: memberId, topics: metadata?.topics ?? [] }
      })
      const names = new Set(subscribers.flatMap(({ topics }) => topics))
      const counts = new Map<Topic, number>()
      for (const name of names) counts.set(name as Topic, cluster.findTopicPartitionMetadata(name).length)
      const plan = assign(subscribers, counts, owners)
      return members.map(({ memberId }) => {
        const assignment: Record<string, number[]> = {}
        for (const [name, owner] of plan) {
          if (owner !== memberId) continue
          const slash = name.lastIndexOf('/')
          const topic = name.slice(0, slash)
          assignment[topic] ??= []
          assignment[topic].push(Number(name.slice(slash + 1)))
        }
        const memberAssignment = AssignerProtocol.MemberAssignment.encode({
          version: 1,
          assignment,
          userData: Buffer.alloc(0),
        })
        return { memberId, memberAssignment }
      })
    },
  })
}

const assignerName = 'portcullis-sticky'

/** Another member's word: anything but a list of names counts as nothing held. */
function readHeld(userData: Buffer | undefined): string[] {
  if (!userData || userData.length === 0) return []
  try {
    const names: unknown = JSON.parse(userData.toString())
    return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : []
  } catch {
    // Not ours: stickiness is a kindness, balance does not depend on it.
    return []
  }
}
