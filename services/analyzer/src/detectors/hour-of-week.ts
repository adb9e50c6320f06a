/**
 * How busy each hour of the week is, in UTC, so that the nightly load is expected in its hour and nowhere else. It is
 * used once a whole week was seen, and only to allow more: a quiet hour never makes the judgement sharper here. An hour
 * reaches to both its neighbours, so that a shift by daylight saving is no departure.
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

/** Commands a minute, on average, in the busiest of this hour of the week and those beside it; 0 until a week was seen. */
export function hourlyRate(week: Week, at: number): number {
  return Math.max(...[-hourUs, 0, hourUs].map((shift) => ownRate(week, at + shift)))
}

/** The same of this hour of the week alone. */
export function ownRate(week: Week, at: number): number {
  const hour = Math.floor(at / hourUs)
  if (week.first < 0 || hour - week.first < hoursInWeek) return 0
  return (week.hours[hour % hoursInWeek] ?? 0) / 60
}

function closeHour(week: Week, hour: number, commands: number): void {
  const weeks = Math.floor((hour - week.first) / hoursInWeek)
  const share = 1 / Math.min(weeks + 1, weeksRemembered)
  const index = hour % hoursInWeek
  const before = week.hours[index] ?? 0
  // Three decimals: what is kept stays short as JSON.
  week.hours[index] = Math.round((before + share * (commands - before)) * 1000) / 1000
}
