/** Carries CancelRequests from the worker that took them to all others, old and new: one may have the session. */
import type { ToSupervisor, ToWorker } from './ipc.ts'

export interface CancelExchange {
  take(from: number, message: ToSupervisor & { kind: 'cancel' | 'cancelled' }): void
  /** Whoever waits for this worker's answer hears no. */
  gone(slot: number): void
}

interface Asked {
  readonly from: number
  readonly id: number
  /** Who has not answered yet. */
  readonly waitingFor: Set<number>
}

/** `slots`: of all workers that live. */
export function createCancelExchange(
  slots: () => readonly number[],
  send: (slot: number, message: ToWorker) => void,
): CancelExchange {
  const asked = new Map<number, Asked>()
  let nextId = 0

  function heard(id: number, slot: number, right: boolean): void {
    const asker = asked.get(id)
    if (!asker) return
    asker.waitingFor.delete(slot)
    if (!right && asker.waitingFor.size > 0) return
    asked.delete(id)
    send(asker.from, { kind: 'cancelled', id: asker.id, right })
  }

  return {
    take(from, message) {
      if (message.kind === 'cancelled') return heard(message.id, from, message.right)
      const id = nextId++
      const others = slots().filter((slot) => slot !== from)
      asked.set(id, { from, id: message.id, waitingFor: new Set(others) })
      const { processId, secret } = message
      for (const slot of others) send(slot, { kind: 'cancel', id, processId, secret })
      if (others.length === 0) heard(id, from, false)
    },
    gone(slot) {
      for (const [id, { waitingFor }] of asked) if (waitingFor.has(slot)) heard(id, slot, false)
    },
  }
}
