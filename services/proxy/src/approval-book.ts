/**
 * What this worker knows of approvals: told by the agent, in the log's order, and let pass by this process's own clock. It
 * asks, spends and decides nothing.
 */
import type { Clock } from '@portcullis/kernel'
import type { ApprovalMark } from './agent/protocol.ts'

export interface ApprovalBook {
  /** `all`: those before are gone. */
  take(marks: readonly ApprovalMark[], all: boolean): void
  /** What counts now for a command of this digest: one that is approved, or else one that was denied and would still be open. */
  decided(digest: string): ApprovalMark | undefined
  get(approvalId: string): ApprovalMark | undefined
  /** Called after each change to the one of this id; returns how to stop that. */
  watch(approvalId: string, changed: () => void): () => void
}

export function createApprovalBook(clock: Clock): ApprovalBook {
  const marks = new Map<string, ApprovalMark>()
  const byDigest = new Map<string, Set<string>>()
  const watchers = new Map<string, Set<() => void>>()

  return {
    take(given, all) {
      const gone = all ? new Set(marks.keys()) : new Set<string>()
      for (const mark of given) {
        put(mark)
        gone.delete(mark.approvalId)
      }
      const nowUs = clock.nowUs()
      for (const { approvalId, overBy } of marks.values()) if (overBy < nowUs) gone.add(approvalId)
      for (const id of gone) drop(id)
      for (const id of new Set([...gone, ...given.map(({ approvalId }) => approvalId)]))
        for (const changed of [...(watchers.get(id) ?? [])]) changed()
    },
    decided(digest) {
      const nowUs = clock.nowUs()
      const all = Array.from(byDigest.get(digest) ?? [], (id) => marks.get(id)).filter(
        (one) => one !== undefined,
      )
      return (
        all.find(({ state, usableUntil }) => state === 'approved' && nowUs < usableUntil) ??
        all.find(({ state, deadline }) => state === 'denied' && nowUs < deadline)
      )
    },
    get: (approvalId) => marks.get(approvalId),
    watch(approvalId, changed) {
      const set = watchers.get(approvalId) ?? new Set()
      watchers.set(approvalId, set.add(changed))
      return () => {
        set.delete(changed)
        if (set.size === 0 && watchers.get(approvalId) === set) watchers.delete(approvalId)
      }
    },
  }

  function put(mark: ApprovalMark): void {
    const { approvalId, digest } = mark
    marks.set(approvalId, mark)
    byDigest.set(digest, (byDigest.get(digest) ?? new Set()).add(approvalId))
  }

  function drop(approvalId: string): void {
    const mark = marks.get(approvalId)
    if (!mark) return
    marks.delete(approvalId)
    const ids = byDigest.get(mark.digest)
    ids?.delete(approvalId)
    if (ids?.size === 0) byDigest.delete(mark.digest)
  }
}
