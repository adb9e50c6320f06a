/**
 * How busy each hour of the week is, relative to the hours in which the identity works at all, in UTC. A factor is only
 * used once a whole week was seen, and only to allow more: a quiet hour never makes the judgement sharper here.
 */
import { hourUs } from '../settings.ts'

export interface Week {
  /** Hour (since 1970) of the first command; -1 before it. */
  first: number
  /** The running hour and its commands. */
  hour: number
  commands: number
  /** Average commands in each hour of the week, over the last weeks. */
  hours: number[]
}

const hoursInWeek = 168
const weeksRemembered = 4
/** Pull towards "an hour like any other", in hours of evidence. */
const shrinkage = 0.25
const factorMax = 20

export function emptyWeek(): Week {
  return { first: -1, hour: -1, commands: 0, hours: new Array<number>(hoursInWeek).fill(0) }
}

/** Changes `week`. A command of an hour already closed is left out: the average has four weeks to take it in. */
export function learnHour(week: Week, at: number): void {
  const hour = Math.floor(at / hourUs)
  if (week.first < 0) {
    week.first = hour
    week.hour = hour
  }
  if (hour > week.hour) {
    closeHour(week, week.hour, week.commands)
    const idle = Math.min(hour - week.hour - 1, hoursInWeek * weeksRemembered)
    for (let before = hour - idle; before < hour; before++) closeHour(week, before, 0)
    week.hour = hour
    week.commands = 0
  }
  if (hour === week.hour) week.commands++
}

/** At least 1. */
export function hourFactor(week: Week, at: number): number {
  const hour = Math.floor(at / hourUs)
  if (week.first < 0 || hour - week.first < hoursInWeek) return 1
  let active = 0
  let sum = 0
  for (const average of week.hours) {
    if (average === 0) continue
    active++
    sum += average
  }
  if (active === 0) return 1
  const typical = sum / active
  const busiest = Math.max(...[-1, 0, 1].map((shift) => week.hours[(hour + shift) % hoursInWeek] ?? 0))
  const factor = (busiest + shrinkage * typical) / (typical * (1 + shrinkage))
  return Math.min(factorMax, Math.max(1, factor))
}

function closeHour(week: Week, hour: number, commands: number): void {
  const weeks = Math.floor((hour - week.first) / hoursInWeek)
  const share = 1 / Math.min(weeks + 1, weeksRemembered)
  const index = hour % hoursInWeek
  const before = week.hours[index] ?? 0
  // Three decimals: what is kept stays short as JSON.
  week.hours[index] = Math.round((before + share * (commands - before)) * 1000) / 1000
}
