/**
 * Power used for the first time: a privileged command (roles, grants, files, programs, server settings) whose verb and
 * object this identity has not shown within 90 days. How surprising that is depends on how often it shows a new one:
 * Laplace's rule over its commands (first-seen.ts). Unit: commands.
 *
 * Alone it only alerts. An attempt that the gate refused is judged and not learned.
 *
 * False steps: needs a chance of a new privileged use below 1 in 300, so that of an identity with one new use a month
 * in thousands of commands that one is told, and an administrator's daily new ones are not.
 */
import type { CommandEvent, Detector } from '@portcullis/kernel'
import { emptyFirstSeen, type FirstSeen, isNew, noveltyScore, observe } from './first-seen.ts'
import { isRefused } from './open-commands.ts'

export function privilegedUse(): Detector<FirstSeen> {
  return {
    name: 'privileged-use',
    stateVersion: 1,
    initial: emptyFirstSeen,
    inspect(prior, event) {
      if (!event.privileged || event.phase === 'progress') return []
      const fresh = usesOf(event).filter((use) => isNew(prior, use, event.startedAt, days))
      const score = noveltyScore(prior)
      if (fresh.length === 0 || score < scoreMin) return []
      return [
        {
          feature: 'privileged-use',
          severity: 'warning',
          score,
          observed: fresh.length,
          expected: 0,
          unit: 'commands',
          explanation: `first ${fresh.join(', ')} by this identity in ${days} days and ${Math.round(prior.observations)} commands`,
          commandIds: [event.commandId],
          windowStart: event.startedAt,
          windowEnd: event.startedAt,
        },
      ]
    },
    evolve(prior, event) {
      if (event.phase !== 'finished' || isRefused(event)) return prior
      observe(prior, event.privileged ? usesOf(event) : [], event.startedAt, days)
      return prior
    },
  }
}

const days = 90
const scoreMin = 2.5
const usesMax = 8
const lengthMax = 120

function usesOf(event: CommandEvent): string[] {
  const uses = event.objects.map(({ kind, namespace, name }) =>
    `${event.verb} ${kind} ${namespace ? `${namespace}.` : ''}${name}`.slice(0, lengthMax),
  )
  return uses.length > 0 ? [...new Set(uses)].slice(0, usesMax) : [event.verb.slice(0, lengthMax)]
}
