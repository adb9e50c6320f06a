/**
 * Asks the trail the whole time while its parts are being killed: no query may ever show a command twice, or fewer than
 * a query before it. An engine that is away answers nothing, and that is no fault.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditStore } from '@portcullis/platform/audit'

export interface Sampled {
  readonly queries: number
  readonly faults: readonly string[]
}

const everyMs = 250

/** The function returned ends it, and tells what was seen. */
export function sampleTrail(store: AuditStore): () => Promise<Sampled> {
  const faults: string[] = []
  let queries = 0
  let most = 0
  let stopped = false
  const running = work()
  return async () => {
    stopped = true
    await running
    return { queries, faults }
  }

  async function work(): Promise<void> {
    for (; !stopped; await sleep(everyMs)) {
      const found = await ask()
      if (!found) continue
      queries++
      if (found.rows !== found.ids) faults.push(`a query showed ${found.rows} commands with ${found.ids} ids`)
      if (found.rows < most)
        faults.push(`a query showed ${found.rows} commands after one that showed ${most}`)
      most = Math.max(most, found.rows)
    }
  }

  async function ask(): Promise<{ rows: number; ids: number } | undefined> {
    try {
      const [found] = await store.query<{ rows: number; ids: number }>(
        'SELECT count()::UInt32 AS rows, uniqExact(command_id)::UInt32 AS ids FROM commands',
      )
      return found
    } catch {
      return undefined
    }
  }
}
