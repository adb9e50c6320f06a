/**
 * What the rules mask, command by command: the plan that a protocol carries out, or why a command cannot pass. Refuses to
 * let one pass of which part may not be seen and nobody can say which.
 */
import { lostLineage, type MaskPlan, type Unit } from '@portcullis/kernel'
import { createMasks, type Masks, type Unmaskable } from '@portcullis/masking'
import type { Judged, RuleMask } from '@portcullis/policy'
import type { AskPresidio } from './presidio.ts'

export interface MaskedUnit {
  /** One for each analysis. */
  readonly plans: readonly (MaskPlan | undefined)[]
  /** The columns that rules which are only observed would have masked, by analysis. */
  readonly observed: readonly (readonly string[])[]
}

export interface MaskMaker {
  /** `enforced`: false where the whole gate only observes. */
  plansFor(
    unit: Pick<Unit, 'analyses' | 'lineagesOf'>,
    judged: readonly Judged[] | undefined,
    enforced: boolean,
  ): MaskedUnit | Unmaskable | undefined
}

/** `presidio`: absent where none is configured. */
export function createMaskMaker(presidio: AskPresidio | undefined): MaskMaker {
  const made = new WeakMap<readonly RuleMask[], Masks>()

  function masksOf(rules: readonly RuleMask[]): Masks | undefined {
    if (rules.length === 0) return undefined
    const masks = made.get(rules) ?? createMasks(rules, presidio)
    made.set(rules, masks)
    return masks
  }

  return {
    plansFor(unit, judged, enforced) {
      if (!judged?.some(({ masks, observedMasks }) => masks.length + observedMasks.length > 0))
        return undefined
      const lineages = unit.lineagesOf?.(unit.analyses) ?? []
      const plans: (MaskPlan | undefined)[] = []
      const observed: string[][] = []
      for (const [at, analysis] of unit.analyses.entries()) {
        const { masks = [], observedMasks = [] } = judged[at] ?? {}
        const lineage = lineages[at] ?? lostLineage
        const [kept, seen] = enforced ? [masks, observedMasks] : [[], [...masks, ...observedMasks]]
        const plan = masksOf(kept)?.planFor(lineage, analysis)
        if (plan && 'refusedBy' in plan) return plan
        plans.push(plan)
        const would = masksOf(seen)?.planFor(lineage, analysis)
        observed.push(would ? columnsIn(would) : [])
      }
      return { plans, observed }
    },
  }
}

function columnsIn(plan: MaskPlan | Unmaskable): string[] {
  if ('refusedBy' in plan) return ['*']
  return [...new Set(plan.columns.flatMap((one) => one?.column ?? []))]
}
