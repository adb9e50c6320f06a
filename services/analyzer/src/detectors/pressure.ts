/**
 * An identity that is being slowed and pushes on. A slice of 10 s is pressed when commands waited for a throttle during
 * at least half of it (one client that waits for its answers shows as one waiting command all the time, however slow
 * the throttle), or when at least three commands were delayed or refused by a verdict in it. Pressure is sustained when
 * three of the last four slices are pressed. Unit: pressed slices.
 *
 * It is the second evidence that lets a throttle become a block (the ladder's "sustained pressure against a throttle"),
 * and what keeps a block standing while its subject keeps trying. It has no state of normality and learns nothing.
 *
 * Score: a throttle stands at the 95th percentile of the identity's minutes, so a slice above it has a chance of 1 in
 * 20; k of them together 20^-k.
 */
import type { CommandEvent, Detector } from '@portcullis/kernel'
import { secondUs } from '../settings.ts'
import { isRefused } from './open-commands.ts'

/** [slice, microseconds waited in it, commands delayed or refused in it], ascending. */
type Slice = [number, number, number]
export interface PressureState {
  slices: Slice[]
}

export function pressure(): Detector<PressureState> {
  return {
    name: 'pressure',
    stateVersion: 1,
    initial: () => ({ slices: [] }),
    inspect(prior, event) {
      if (!isHeldBack(event)) return []
      const slices = withEvent(prior.slices, event)
      const newest = slices.at(-1)?.[0] ?? 0
      const pressed = slices.filter((slice) => slice[0] > newest - windowSlices && isPressed(slice))
      if (pressed.length < sustained) return []
      const start = (newest - windowSlices + 1) * sliceUs
      return [
        {
          feature: 'pressure',
          severity: 'error',
          score: Math.round(pressed.length * Math.log10(20) * 100) / 100,
          observed: pressed.length,
          expected: 0,
          unit: 'slices of 10 s',
          explanation: `kept pushing against a ${event.decision.action} in ${pressed.length} of the last ${windowSlices} spans of 10 s`,
          commandIds: [event.commandId],
          windowStart: start,
          windowEnd: event.startedAt + event.decision.delayUs,
        },
      ]
    },
    evolve(prior, event) {
      if (isHeldBack(event)) prior.slices = withEvent(prior.slices, event)
      return prior
    },
  }
}

const sliceUs = 10 * secondUs
const windowSlices = 4
const sustained = 3
const commandsMin = 3

/** A verdict delayed or refused it. What a cap refused is the cap's business. */
function isHeldBack(event: CommandEvent): boolean {
  const { enforced, reason, delayUs } = event.decision
  const byVerdict = event.phase === 'finished' && enforced && reason.startsWith('verdict_')
  return byVerdict && (delayUs > 0 || isRefused(event))
}

function isPressed([, waitedUs, commands]: Slice): boolean {
  return waitedUs >= sliceUs / 2 || commands >= commandsMin
}

/** The slices with the event's wait spread over the time it waited. Only reads. */
function withEvent(slices: readonly Slice[], { startedAt, decision }: CommandEvent): Slice[] {
  const end = startedAt + decision.delayUs
  const last = Math.floor(end / sliceUs)
  const newest = Math.max(last, slices.at(-1)?.[0] ?? last)
  const oldest = newest - windowSlices + 1
  const kept = slices.filter(([slice]) => slice >= oldest).map((slice): Slice => [...slice])
  const at = (index: number): Slice => {
    const found = kept.find(([slice]) => slice === index)
    if (found) return found
    const added: Slice = [index, 0, 0]
    kept.push(added)
    return added
  }
  for (let slice = Math.max(oldest, Math.floor(startedAt / sliceUs)); slice <= last; slice++)
    at(slice)[1] += Math.min(end, (slice + 1) * sliceUs) - Math.max(startedAt, slice * sliceUs)
  if (last >= oldest) at(last)[2]++
  return kept.sort(([a], [b]) => a - b)
}
