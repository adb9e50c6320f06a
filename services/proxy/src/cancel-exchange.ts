/** Carries CancelRequests from the worker that took them to the one whose session they are for, old or new. */
import type { ToSupervisor, ToWorker } from './ipc.ts'

export interface CancelExchange {
  take(from: number, message: ToSupervisor & { kind: 'cancel' | 'cancelled' }): void
  /** Whoever waits for this worker's answer hears no. */
  gone(slot: number): void
}

/** `send`: to the worker of a slot; false where none lives. */
export function createCancelExchange(send: (slot: number, message: ToWorker) => boolean): CancelExchange {
  const asked = new Map<number, { from: number; id: number; owner: number }>()
  let nextId = 0

  function answer(id: number, right: boolean): void {
    const asker = asked.get(id)
    asked.delete(id)
    if (asker) send(asker.from, { kind: 'cancelled', id: asker.id, right })
  }

  return {
    take(from, message) {
      if (message.kind === 'cancelled') return answer(message.id, message.right)
      const id = nextId++
      asked.set(id, { from, id: message.id, owner: message.slot })
      const { processId, secret } = message
      if (!send(message.slot, { kind: 'cancel', id, processId, secret })) answer(id, false)
    },
    gone(slot) {
      for (const [id, { owner }] of asked) if (owner === slot) answer(id, false)
    },
  }
}
