/**
 * How many rows a command would change or return, asked of the target once for each unit that a rule or a person wants to
 * know it of. What is asked is a command like any other: it stands recorded before it is sent. Refuses to ask where it cannot
 * be recorded; nobody then knows.
 */
import type { Clock, Recorder, RowEstimate, Unit } from '@portcullis/kernel'
import { type Gated, nothingPassed } from './gate.ts'
import type { IdSource } from './ids.ts'
import { decision } from './refusals.ts'

export interface Estimates {
  /** undefined: nobody can tell; `unasked`: the target could. */
  known(unit: Unit): number | undefined | 'unasked'
  /** Never rejects. */
  ask(session: Gated, unit: Unit): Promise<void>
}

export function createEstimates(deps: {
  readonly recorder: Recorder
  readonly clock: Clock
  readonly ids: IdSource
}): Estimates {
  const { recorder, clock, ids } = deps
  const answers = new WeakMap<RowEstimate, { readonly rows: number | undefined }>()

  return {
    known({ estimate }) {
      if (estimate === undefined) return undefined
      if (estimate === 'nothing') return 0
      const answer = answers.get(estimate)
      return answer ? answer.rows : 'unasked'
    },
    async ask(session, { estimate }) {
      if (estimate === undefined || estimate === 'nothing') return
      answers.set(estimate, { rows: await asked(session, estimate) })
    },
  }

  async function asked(session: Gated, { analysis, ask }: RowEstimate): Promise<number | undefined> {
    if (!recorder.available || session.ended) return undefined
    const number = ++session.commands
    const { policyVersion } = session.allow
    const intent = { sessionId: session.id, number, analysis, startedAt: clock.nowUs() }
    try {
      recorder.intent({
        ...intent,
        decision: decision({ id: ids(), action: 'allow', policyVersion }),
        attributes: { ...(number === 1 && session.attributes), 'gate.own': '"estimate"' },
      })
      await recorder.commit()
    } catch {
      // What comes next cannot be recorded either, and is refused for it.
      return undefined
    }
    const rows = await ask()
    // Nothing was run: it is no command of the identity's to whoever learns what that is used to.
    const result = { ...nothingPassed(rows === undefined ? 'unknown' : 'ok', 'prepare'), tag: 'EXPLAIN' }
    recorder.outcome(session.id, number, clock.nowUs(), result)
    return rows
  }
}
