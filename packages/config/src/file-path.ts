import { z } from 'zod'

/** Marks in the schema a key whose value is the path of a file. */
export const pathFormat = 'path'

export function filePath(description: string): z.ZodType<string> {
  return z.string().min(1).meta({ format: pathFormat, description })
}
