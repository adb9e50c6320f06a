/** Whom a rule is for: everything in `match` but the time, answered once a session; and the time, as often as it is asked. */
import { BlockList, isIPv6 } from 'node:net'
import { days, type Match, type TimeSpan } from './schema.ts'
import { both, type Subject, type Tri } from './types.ts'

export type Matcher = (subject: Subject) => Tri

export function matcherOf(match: Match): Matcher {
  const { protocols, targets, labels, roles, databases, issuers, subjects, groups, delegated, actors } = match
  const { countries, asns, networks } = match
  const parts: Matcher[] = []
  if (protocols) parts.push(({ protocol }) => protocols.includes(protocol))
  if (targets) parts.push(fits(targets, ({ target }) => [target]))
  if (roles) parts.push(({ role }) => roles.includes(role))
  if (databases) parts.push(fits(databases, ({ database }) => [database]))
  if (issuers) parts.push(fits(issuers, ({ identity }) => [identity.issuer]))
  if (subjects) parts.push(fits(subjects, ({ identity }) => [identity.subject]))
  if (groups) parts.push(fits(groups, ({ identity }) => identity.groups))
  if (actors) parts.push(fits(actors, ({ identity }) => identity.delegation.map(({ subject }) => subject)))
  if (delegated !== undefined) parts.push(({ identity }) => identity.delegation.length > 0 === delegated)
  for (const [label, values] of Object.entries(labels ?? {}))
    parts.push((subject) => [values].flat().includes(subject.labels[label] ?? '\0'))
  if (countries)
    parts.push(({ origin }) => (origin.country === '' ? undefined : countries.includes(origin.country)))
  if (asns) parts.push(({ origin }) => (origin.asn === 0 ? undefined : asns.includes(origin.asn)))
  if (networks) {
    const isWithin = withinOf(networks)
    parts.push(({ origin }) => (origin.address === '' ? undefined : isWithin(origin.address)))
  }
  return (subject) => both(...parts.map((part) => part(subject)))
}

/** Of a target alone: false where no session of it can be meant. */
export function mayBeFor(match: Match, target: Pick<Subject, 'protocol' | 'target' | 'labels'>): boolean {
  const { protocols, targets, labels } = match
  const some: Match = {
    ...(protocols && { protocols }),
    ...(targets && { targets }),
    ...(labels && { labels }),
  }
  return matcherOf(some)(target as Subject) !== false
}

function fits(patterns: readonly string[], of: (subject: Subject) => readonly string[]): Matcher {
  const tests = patterns.map(patternOf)
  return (subject) => of(subject).some((value) => tests.some((test) => test(value)))
}

/** `*` stands for any text, also none. */
function patternOf(pattern: string): (value: string) => boolean {
  const [head = '', ...rest] = pattern.split('*')
  const tail = rest.pop()
  if (tail === undefined) return (value) => value === pattern
  return (value) => {
    if (!value.startsWith(head)) return false
    let at = head.length
    for (const part of rest) {
      const found = value.indexOf(part, at)
      if (found < 0) return false
      at = found + part.length
    }
    return value.length - tail.length >= at && value.endsWith(tail)
  }
}

function withinOf(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const text of networks) {
    const [network = '', bits] = text.split('/')
    const family = isIPv6(network) ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(network, family)
    else list.addSubnet(network, Number(bits), family)
  }
  return (address) => list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}

export type TimeMatcher = (nowMs: number) => boolean

export function timeMatcherOf(span: TimeSpan): TimeMatcher {
  const { from, to, outside } = span
  const [first, last] = [minutesOf(from ?? '00:00'), to === undefined ? minutesPerDay : minutesOf(to)]
  const isOn = (day: number) => span.days === undefined || span.days.includes(days[(day + 7) % 7] as 'mon')
  const clock = localClock(span.zone)
  return (nowMs) => {
    const { day, minute } = clock(nowMs)
    const isWithin =
      first < last
        ? isOn(day) && minute >= first && minute < last
        : // Over midnight: the hours after it belong to the day before.
          (isOn(day) && minute >= first) || (isOn(day - 1) && minute < last)
    return isWithin !== outside
  }
}

const minutesPerDay = 24 * 60

function minutesOf(time: string): number {
  return Number(time.slice(0, 2)) * 60 + Number(time.slice(3))
}

/** Asking the calendar is dear, and its answer holds for a minute. */
function localClock(zone: string): (nowMs: number) => { day: number; minute: number } {
  const format = new Intl.DateTimeFormat('en-GB', {
    ...{ timeZone: zone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  } as Intl.DateTimeFormatOptions)
  let known = { at: Number.NaN, day: 0, minute: 0 }
  return (nowMs) => {
    const at = Math.floor(nowMs / 60_000)
    if (known.at !== at) {
      const parts = new Map(format.formatToParts(nowMs).map(({ type, value }) => [type, value]))
      const day = days.indexOf((parts.get('weekday') ?? '').toLowerCase() as 'mon')
      known = { at, day, minute: minutesOf(`${parts.get('hour')}:${parts.get('minute')}`) }
    }
    return known
  }
}
