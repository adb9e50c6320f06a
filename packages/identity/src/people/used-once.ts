/**
 * What may be used once: SAML assertions until they expire, transactions until they do. Several API replicas must share
 * one memory, or each takes a replayed assertion once; the one here is for a single process. Refuses to forget early:
 * when it is full it says so, and nobody signs in who could be a replay.
 */
import type { Clock } from '@portcullis/kernel'

export interface UsedOnce {
  /**
   * Whether this is the first use; at most one caller hears true for an id until `untilUs` (microseconds since 1970 UTC).
   * Rejects where that cannot be promised.
   */
  claim(id: string, untilUs: number): Promise<boolean>
}

/** In this process's memory. Throws where `idsMax` (default 100,000) are held and none has expired. */
export function createUsedOnce(clock: Pick<Clock, 'nowUs'>, idsMax = 100_000): UsedOnce {
  const untilById = new Map<string, number>()
  const forgetExpired = (nowUs: number) => {
    for (const [id, untilUs] of untilById) if (untilUs <= nowUs) untilById.delete(id)
  }
  return {
    async claim(id, untilUs) {
      const nowUs = clock.nowUs()
      const known = untilById.get(id)
      if (known !== undefined && known > nowUs) return false
      if (untilById.size >= idsMax) forgetExpired(nowUs)
      if (untilById.size >= idsMax) throw new Error(`${idsMax} uses are remembered already`)
      untilById.set(id, untilUs)
      return true
    },
  }
}
