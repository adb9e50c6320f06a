/** One JSON line an event on stdout, in pino's form. Secrets never get here: log what a thing is called, not what it holds. */
import { type Logger, pino } from 'pino'

export type Log = Logger

export function createLog(options: { service: string; level: string }): Log {
  return pino({
    level: options.level,
    base: { service: options.service, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: [
      'password',
      '*.password',
      'token',
      '*.token',
      'secret',
      '*.secret',
      'authorization',
      '*.authorization',
    ],
  })
}
