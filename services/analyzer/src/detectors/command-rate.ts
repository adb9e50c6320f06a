/**
 * Too many commands. Model: how many commands an identity runs in a minute in which it is active is Poisson with a
 * Gamma-distributed rate (West and Harrison, Bayesian Forecasting and Dynamic Models, discounting). The predictive is
 * negative binomial; its shape r joins what the data show of burstiness (k, by moments) and what is not yet known of
 * the mean (the Gamma posterior's a):  1/r = 1/k + 1/a.  Idle minutes are left out: given activity, P(N >= n) is an
 * upper bound of the unconditional probability, so that a cron job is judged by its own minute and not by the night.
 *
 * Judged on each command, on the last 60 s in slices of 10 s, so that a runaway is found inside its first minute.
 * A departure needs all of: a predictive tail below 1e-8; at least 4 times the 95th percentile of its active minutes;
 * 20 commands; and two of the last three slices hot, or 10 times that percentile. A learned hour of the week raises
 * mean and percentile to its own rate and never lowers them (hour-of-week.ts).
 *
 * False steps: for a well-fitting baseline of an ever active identity (43,200 minutes a month) the tail alone gives
 * 4e-4 a month; the factor of 4 covers what the model misses. It cannot see a rate that never leaves the usual.
 */
import type { CommandEvent, Departure, Detector } from '@portcullis/kernel'
import { type AnalyzerSettings, minuteUs, secondUs } from '../settings.ts'
import { addTo, emptyHistogram, fade, type Histogram, quantile } from '../stats/histogram.ts'
import { negativeBinomialLnTail } from '../stats/negative-binomial.ts'
import { emptyWeek, hourlyRate, learnHour, ownRate, type Week } from './hour-of-week.ts'
import { follow, isRefused, type OpenCommand, progressOf } from './open-commands.ts'

export interface RateState {
  activeMinutes: number
  open: OpenCommand[]
  /** Index of the newest slice; `slices[i]` counts slice `head - i`. */
  head: number
  slices: number[]
  /** [minute, learned commands]: the two newest minutes, closed once a third begins, and one behind them for latecomers. */
  minutes: [number, number][]
  late: [number, number]
  /** Closed active minutes of ordinary hours, and of hours of the week learned to be busy. */
  ordinary: Moments
  busy: Moments
  histogram: Histogram
  fadedDay: number
  week: Week
}

/** Faded sums over minutes: of 1, of their commands, of their squares. */
interface Moments {
  weight: number
  sum: number
  squares: number
}

export function commandRate({ warmupCommands }: AnalyzerSettings): Detector<RateState> {
  const warm = (state: RateState) => state.activeMinutes >= Math.max(2, warmupCommands / 10)
  return {
    name: 'command-rate',
    stateVersion: 1,
    initial: () => ({
      activeMinutes: 0,
      open: [],
      head: 0,
      slices: [0, 0, 0, 0, 0, 0],
      minutes: [],
      late: [0, 0],
      ordinary: { weight: 0, sum: 0, squares: 0 },
      busy: { weight: 0, sum: 0, squares: 0 },
      histogram: emptyHistogram(),
      fadedDay: 0,
      week: emptyWeek(),
    }),
    inspect(prior, event) {
      if (!warm(prior) || !countsNow(prior, event)) return []
      const departure = judge(prior, event)
      return departure ? [departure] : []
    },
    evolve(prior, event) {
      if (event.stage === 'prepare') return prior
      if (countsNow(prior, event)) addToSlices(prior, event.startedAt)
      follow(prior.open, event)
      if (event.phase === 'finished' && !isRefused(event)) learn(prior, event.startedAt, warm(prior))
      return prior
    },
  }
}

/** Commands a minute that this identity rarely exceeds at this time: the 95th percentile of its active minutes. */
export function usualPerMinute(state: RateState, at: number): number {
  return Math.max(1, quantile(state.histogram, 0.95), hourHeadroom * hourlyRate(state.week, at))
}

const sliceUs = 10 * secondUs
const minScore = 8
const minCommands = 20
const ratioMin = 4
const ratioAtOnce = 10
/** The population's prior: as if 5 active minutes of 2 commands, spread like a geometric distribution, had been seen. */
const priorMinutes = 5
const priorMean = 2
/** An hour of the week at this many times the ordinary mean is judged by the minutes of such hours. */
const busyFrom = 2
const halfLifeDays = 14
/** From an hour's average minute to the minutes it rarely exceeds. */
const hourHeadroom = 1.5

function countsNow(state: RateState, event: CommandEvent): boolean {
  return event.stage === 'run' && event.phase !== 'progress' && progressOf(state.open, event).first
}

function judge(state: RateState, event: CommandEvent): Departure | undefined {
  const slice = Math.floor(event.startedAt / sliceUs)
  if (slice <= state.head - state.slices.length) return undefined
  const slices = shifted(state, slice)
  const newest = Math.max(slice, state.head)
  slices[newest - slice] = (slices[newest - slice] ?? 0) + 1
  const count = slices.reduce((sum, n) => sum + n, 0)
  if (count < minCommands) return undefined
  const usual = usualPerMinute(state, event.startedAt)
  if (count < ratioMin * usual) return undefined
  const hot = slices.slice(0, 3).filter((n) => n >= (ratioMin * usual) / slices.length).length
  if (hot < 2 && count < ratioAtOnce * usual) return undefined
  const { mean, shape } = predictive(state, event.startedAt)
  const score = Math.min(300, -negativeBinomialLnTail(count, mean, shape) / Math.LN10)
  if (score < minScore) return undefined
  return {
    feature: 'command-rate',
    severity: 'error',
    score: Math.round(score * 100) / 100,
    observed: count,
    expected: Math.round(usual * 10) / 10,
    unit: 'commands/min',
    explanation:
      `${count} commands within a minute; ${(count / usual).toFixed(1)} times what this identity stays under ` +
      `in 95 of 100 active minutes (${usual.toFixed(1)})`,
    commandIds: [event.commandId],
    windowStart: (newest - slices.length + 1) * sliceUs,
    windowEnd: event.startedAt,
  }
}

/**
 * Mean and size of the negative binomial that predicts an active minute at this time. A busy hour has minutes of its
 * own: mixed with the ordinary ones, they would make everything look bursty.
 */
function predictive(state: RateState, at: number): { mean: number; shape: number } {
  const hourly = hourlyRate(state.week, at)
  if (!isBusy(state, hourly)) return posterior(state.ordinary, priorMean)
  const { mean, shape } = posterior(state.busy, hourly)
  return { mean: Math.max(mean, hourly), shape }
}

function isBusy(state: RateState, hourly: number): boolean {
  return hourly >= busyFrom * posterior(state.ordinary, priorMean).mean
}

function posterior({ weight, sum, squares }: Moments, prior: number): { mean: number; shape: number } {
  const minutes = weight + priorMinutes
  const commands = sum + priorMinutes * prior
  const mean = commands / minutes
  const variance = (squares + priorMinutes * (prior + 2 * prior ** 2)) / minutes - mean ** 2
  const burstiness = Math.max(0, variance - mean) / mean ** 2
  return { mean, shape: Math.min(1e6, 1 / (burstiness + 1 / commands)) }
}

/** The slices as they stand once `slice` is the newest. */
function shifted(state: RateState, slice: number): number[] {
  const ahead = slice - state.head
  if (ahead <= 0) return [...state.slices]
  const size = state.slices.length
  const fresh = new Array<number>(Math.min(ahead, size)).fill(0)
  return [...fresh, ...state.slices].slice(0, size)
}

function addToSlices(state: RateState, at: number): void {
  const slice = Math.floor(at / sliceUs)
  if (slice <= state.head - state.slices.length) return
  state.slices = shifted(state, slice)
  state.head = Math.max(state.head, slice)
  const index = state.head - slice
  state.slices[index] = (state.slices[index] ?? 0) + 1
}

function learn(state: RateState, at: number, warm: boolean): void {
  learnHour(state.week, at)
  const minute = Math.floor(at / minuteUs)
  const found = state.minutes.find(([open]) => open === minute)
  const oldest = state.minutes[0]?.[0] ?? minute
  if (found) found[1]++
  else if (minute < oldest) learnLate(state, minute, warm)
  else {
    state.minutes.push([minute, 1])
    state.minutes.sort(([a], [b]) => a - b)
    while (state.minutes.length > 2) close(state, state.minutes.shift(), warm)
  }
}

/** A recorder that was cut off delivers old minutes in order, so that one lane for them is enough. */
function learnLate(state: RateState, minute: number, warm: boolean): void {
  if (state.late[0] === minute) state.late[1]++
  else {
    close(state, state.late, warm)
    state.late = [minute, 1]
  }
}

/** A minute that departs teaches no more than the level at which it began to depart. */
function close(state: RateState, closed: [number, number] | undefined, warm: boolean): void {
  if (!closed || closed[1] === 0) return
  const [minute, commands] = closed
  const usual = usualPerMinute(state, minute * minuteUs)
  const learned = warm ? Math.min(commands, Math.ceil(ratioMin * usual)) : commands
  fadeTo(state, Math.floor(minute / 1440))
  state.activeMinutes++
  const moments = isBusy(state, ownRate(state.week, minute * minuteUs)) ? state.busy : state.ordinary
  moments.weight++
  moments.sum += learned
  moments.squares += learned ** 2
  addTo(state.histogram, learned)
}

function fadeTo(state: RateState, day: number): void {
  const days = day - state.fadedDay
  if (days <= 0) return
  state.fadedDay = day
  const factor = 2 ** -(days / halfLifeDays)
  for (const moments of [state.ordinary, state.busy]) {
    moments.weight *= factor
    moments.sum *= factor
    moments.squares *= factor
  }
  fade(state.histogram, factor)
}
