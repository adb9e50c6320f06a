/** Every detector that ships. A new one is a file here and a line below; the contract test runs over it as it is. */
import type { Detector } from '@portcullis/kernel'
import type { AnalyzerSettings } from '../settings.ts'
import { commandRate } from './command-rate.ts'
import { dataVolume } from './data-volume.ts'
import { pressure } from './pressure.ts'
import { privilegedUse } from './privileged-use.ts'
import { region } from './region.ts'
import { tokenReplay } from './token-replay.ts'

export interface Detectors {
  /** Known by name: the throttle's rate is read from its state. */
  readonly rate: ReturnType<typeof commandRate>
  readonly all: readonly Detector<unknown>[]
}

export function createDetectors(settings: AnalyzerSettings): Detectors {
  const rate = commandRate(settings)
  return { rate, all: [rate, dataVolume(), privilegedUse(), region(), pressure(), tokenReplay()] }
}
