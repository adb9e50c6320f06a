/**
 * Every number the analyzer judges by, in one place. What a deployment may change comes from the configuration; the
 * rest are properties of the models (docs/adr/0005-baselines.md says where each comes from).
 */
export interface AnalyzerSettings {
  /** Commands and time an identity must have shown before its own baseline judges it; caps hold from the first one. */
  readonly warmupCommands: number
  readonly warmupMs: number
  readonly throttleMs: number
  readonly blockMs: number
  readonly cancelRunning: boolean
  readonly subject: 'identity' | 'instance'
  /** Whether a token that got in from two places is stopped everywhere. */
  readonly killReplayed: boolean
}

export const defaultSettings: AnalyzerSettings = {
  warmupCommands: 200,
  warmupMs: 24 * 3_600_000,
  throttleMs: 600_000,
  blockMs: 3_600_000,
  cancelRunning: false,
  subject: 'identity',
  killReplayed: false,
}

/** Event time is in microseconds. */
export const secondUs = 1_000_000
export const minuteUs = 60 * secondUs
export const hourUs = 60 * minuteUs
export const dayUs = 24 * hourUs
