/** The forms of values that several parts of the schema share. */
import { z } from 'zod'

export const positive = z.number().int().positive()

/** Marks in the schema a key whose value is the path of a file. */
export const pathFormat = 'path'

export function filePath(description: string): z.ZodType<string> {
  return z.string().min(1).meta({ format: pathFormat, description })
}

export const secretPattern = /^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/

/** A reference to a secret: `env:NAME` or `file:PATH`; resolved by `resolveSecret`, never by the schema. */
export const secretRef = z
  .string()
  .regex(
    secretPattern,
    'must be a reference, env:NAME or file:PATH; secrets never stand in the configuration itself',
  )
  .describe('Reference to a secret: env:NAME or file:PATH.')
