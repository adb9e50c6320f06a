/**
 * A credential used from where it was never used: a country not seen within 90 days, or an autonomous system not seen
 * within 30. An observation is one session in one hour, since the commands of a session share their origin. Unknown
 * and private origins are neither judged nor learned as places, but they count as observations.
 *
 * A new country is severe (the ladder asks to hold for a step-up; until approvals exist, decide.ts throttles). A new
 * network alone is worth a record, no alert: clouds move their addresses.
 *
 * False steps: Laplace's rule (first-seen.ts) asks for a chance below 1 in 30, so that an identity that roams (CI
 * runners) has to have shown few places in many sessions before one more is told.
 */
import type { CommandEvent, Departure, Detector } from '@portcullis/kernel'
import { hourUs } from '../settings.ts'
import { emptyFirstSeen, type FirstSeen, isNew, noveltyScore, observe, remember } from './first-seen.ts'
import { isRefused } from './open-commands.ts'

export interface RegionState {
  /** Hour and session of the last observation. */
  hour: number
  session: string
  countries: FirstSeen
  networks: FirstSeen
}

export function region(): Detector<RegionState> {
  return {
    name: 'region',
    stateVersion: 1,
    initial: () => ({
      hour: -1,
      session: '',
      countries: emptyFirstSeen(),
      networks: emptyFirstSeen(),
    }),
    inspect(prior, event) {
      if (event.phase === 'progress') return []
      const { country, asn } = event.origin
      const at = event.startedAt
      const newCountry = country !== '' && isNew(prior.countries, country, at, countryDays)
      if (newCountry && noveltyScore(prior.countries) >= scoreMin)
        return [departure(event, prior.countries, `country ${country}`, countryDays, 'error')]
      const newNetwork = asn !== 0 && isNew(prior.networks, String(asn), at, networkDays)
      if (newNetwork && noveltyScore(prior.networks) >= scoreMin)
        return [departure(event, prior.networks, `network AS${asn}`, networkDays, 'info')]
      return []
    },
    evolve(prior, event) {
      if (event.phase !== 'finished' || isRefused(event)) return prior
      const { country, asn } = event.origin
      const hour = Math.floor(event.startedAt / hourUs)
      const places = country === '' ? [] : [country]
      const networks = asn === 0 ? [] : [String(asn)]
      if (hour === prior.hour && event.sessionId === prior.session) {
        remember(prior.countries, places, event.startedAt)
        remember(prior.networks, networks, event.startedAt)
        return prior
      }
      prior.hour = hour
      prior.session = event.sessionId
      observe(prior.countries, places, event.startedAt, countryDays)
      observe(prior.networks, networks, event.startedAt, networkDays)
      return prior
    },
  }
}

const countryDays = 90
const networkDays = 30
const scoreMin = 1.5

function departure(
  event: CommandEvent,
  seen: FirstSeen,
  what: string,
  days: number,
  severity: Departure['severity'],
): Departure {
  const known = seen.values.slice(-3).map(([value]) => value)
  return {
    feature: 'region',
    severity,
    score: noveltyScore(seen),
    observed: 1,
    expected: 0,
    unit: 'sessions',
    explanation: `first session from ${what} in ${days} days (from ${event.origin.address}); known: ${known.join(', ') || 'none'}`,
    commandIds: [event.commandId],
    windowStart: event.startedAt,
    windowEnd: event.startedAt,
  }
}
