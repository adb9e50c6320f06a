/**
 * Too much data. Two models over what a command sends to the client, both in bytes and the first also in rows:
 * - one command (`data-volume`) against the 99.9th percentile of this identity's commands;
 * - one hour (`volume-total`) against the 99th percentile of its active hours. It is not a feature of its own: more
 *   commands send more data, so it never counts as a second evidence beside a rate or a single command (decide.ts).
 * Beyond the percentile the tail is taken as Pareto with index 1, heavier than result sizes are, which makes the score
 * small: P(X > x) = s * p / x, with s the share of commands above percentile p, never below one in those seen.
 *
 * A running command is judged by its progress, so that an export is found while it runs. A departure needs 5 times the
 * percentile and a floor (1 MiB, 1,000 rows, 16 MiB an hour); from 20 times and 16 MiB on it is severe.
 *
 * False steps: with log-normal sizes (sigma 1.5) and 30,000 commands a month, the largest is about 4 times the 99.9th
 * percentile. It cannot see many small results spread over days (scenario 3 of the list: another detector's work).
 */
import type { CommandEvent, Departure, Detector } from '@portcullis/kernel'
import { dayUs, hourUs } from '../settings.ts'
import { addTo, emptyHistogram, fade, type Histogram, quantile } from '../stats/histogram.ts'
import { follow, isRefused, type OpenCommand, progressOf } from './open-commands.ts'

export interface VolumeState {
  open: OpenCommand[]
  bytes: Histogram
  rows: Histogram
  hour: number
  hourBytes: number
  hours: Histogram
  fadedDay: number
}

export function dataVolume(): Detector<VolumeState> {
  return {
    name: 'data-volume',
    stateVersion: 1,
    initial: () => ({
      open: [],
      bytes: emptyHistogram(),
      rows: emptyHistogram(),
      hour: 0,
      hourBytes: 0,
      hours: emptyHistogram(),
      fadedDay: 0,
    }),
    inspect(prior, event) {
      if (isRefused(event)) return []
      const bytes = overCommand(prior.bytes, event.bytesOut, bytesMin, 'bytes', event)
      const single = bytes ?? overCommand(prior.rows, event.rowsOut, rowsMin, 'rows', event)
      const total = overHour(prior, event)
      return [single, total].filter((departure) => departure !== undefined)
    },
    evolve(prior, event) {
      const { bytes } = progressOf(prior.open, event)
      follow(prior.open, event)
      addToHour(prior, Math.floor(event.startedAt / hourUs), bytes)
      if (event.phase !== 'finished' || event.stage === 'prepare' || isRefused(event)) return prior
      fadeTo(prior, Math.floor(event.startedAt / dayUs))
      learnClamped(prior.bytes, event.bytesOut, bytesMin, 0.999)
      learnClamped(prior.rows, event.rowsOut, rowsMin, 0.999)
      return prior
    },
  }
}

const bytesMin = 1 << 20
const rowsMin = 1000
const hourBytesMin = 16 << 20
const hoursMin = 24
/** Until a histogram holds this much, it judges nothing and takes every value as it is. */
const learnFreely = 24
const ratioMin = 5
const ratioSevere = 20
const bytesSevere = 16 << 20
const halfLifeDays = 28

function overCommand(
  histogram: Histogram,
  observed: number,
  floor: number,
  unit: 'bytes' | 'rows',
  event: CommandEvent,
): Departure | undefined {
  if (observed < floor || histogram.weight < learnFreely) return undefined
  const usual = Math.max(1, quantile(histogram, 0.999))
  const ratio = observed / usual
  if (ratio < ratioMin) return undefined
  const severe = ratio >= ratioSevere && event.bytesOut >= bytesSevere
  return {
    feature: 'data-volume',
    severity: severe ? 'error' : 'warning',
    score: scoreOf(histogram, 0.001, ratio),
    observed,
    expected: Math.round(usual),
    unit,
    explanation: `one command sent ${observed} ${unit}; 999 of 1,000 of this identity send at most ${Math.round(usual)}`,
    commandIds: [event.commandId],
    windowStart: event.startedAt,
    windowEnd: event.startedAt + event.durationUs,
  }
}

function overHour(state: VolumeState, event: CommandEvent): Departure | undefined {
  const hour = Math.floor(event.startedAt / hourUs)
  if (hour < state.hour || state.hours.weight < hoursMin) return undefined
  const before = hour === state.hour ? state.hourBytes : 0
  const observed = before + progressOf(state.open, event).bytes
  if (observed < hourBytesMin) return undefined
  const usual = Math.max(1, quantile(state.hours, 0.99))
  const ratio = observed / usual
  if (ratio < ratioMin) return undefined
  return {
    feature: 'volume-total',
    severity: ratio >= ratioSevere ? 'error' : 'warning',
    score: scoreOf(state.hours, 0.01, ratio),
    observed,
    expected: Math.round(usual),
    unit: 'bytes/hour',
    explanation: `${observed} bytes within this hour; 99 of 100 active hours stay under ${Math.round(usual)}`,
    commandIds: [event.commandId],
    windowStart: hour * hourUs,
    windowEnd: event.startedAt + event.durationUs,
  }
}

function scoreOf(histogram: Histogram, share: number, ratio: number): number {
  const probability = Math.max(share, 1 / (histogram.weight + 1)) / ratio
  return Math.round(Math.min(300, -Math.log10(probability)) * 100) / 100
}

/** What departs teaches no more than the level at which it began to depart. */
function learnClamped(histogram: Histogram, value: number, floor: number, q: number): void {
  const unclamped = histogram.weight < learnFreely || value < floor
  addTo(histogram, unclamped ? value : Math.min(value, Math.max(floor, ratioMin * quantile(histogram, q))))
}

function addToHour(state: VolumeState, hour: number, bytes: number): void {
  if (hour < state.hour) return
  if (hour > state.hour) {
    if (state.hourBytes > 0) learnClamped(state.hours, state.hourBytes, hourBytesMin, 0.99)
    state.hour = hour
    state.hourBytes = 0
  }
  state.hourBytes += bytes
}

function fadeTo(state: VolumeState, day: number): void {
  const days = day - state.fadedDay
  if (days <= 0) return
  state.fadedDay = day
  const factor = 2 ** -(days / halfLifeDays)
  for (const histogram of [state.bytes, state.rows, state.hours]) fade(histogram, factor)
}
