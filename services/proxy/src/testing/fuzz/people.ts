/** People who answer what the fuzzed gate asks, after some turns of the event loop: most say yes, some no. */
import { SessionEnded } from '@portcullis/kernel'
import { type Held, type Holds, type Pass, passFor, type Waiter } from '../../holds.ts'
import { refusal } from '../../refusals.ts'
import { after } from './trail.ts'

export function createFuzzedPeople(turns: number, ids: () => string): Holds {
  let asked = 0
  return {
    settle: (waiter, held) => (waiter.unit.original?.() ? answer(waiter, held, ++asked) : undefined),
  }

  async function answer(waiter: Waiter, held: Held, nth: number): Promise<Pass | ReturnType<typeof refuse>> {
    const approvalId = `a${nth}`
    // Of three one was approved before.
    if (nth % 3 !== 0 && (await isGivenUp(waiter, approvalId))) return refuse(held, 'approval_cancelled')
    return nth % 5 === 0 ? refuse(held, 'approval_denied') : passFor(approvalId, held)
  }

  async function isGivenUp({ session, begin, tell }: Waiter, approvalId: string): Promise<boolean> {
    let given = false
    await begin(approvalId)
    const end = () => {
      given = true
    }
    tell({ approvalId, link: '', by: 'fuzz', waitMs: 1000, end })
    for (let turn = 0; turn < turns && !given && !session.ended; turn++) await after(1)
    tell(undefined)
    if (session.ended) throw new SessionEnded(session.ended)
    return given
  }

  function refuse({ policyVersion }: Held, reason: 'approval_cancelled' | 'approval_denied') {
    return refusal(reason, { id: ids(), policyVersion })
  }
}
