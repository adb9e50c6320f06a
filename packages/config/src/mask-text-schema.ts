/** What is masked in the texts of commands that are recorded. */
import { patternFault } from '@portcullis/expressions'
import { contentGroups, contentKinds } from '@portcullis/kernel'
import { z } from 'zod'

const groups = Object.keys(contentGroups) as (keyof typeof contentGroups)[]

export const maskText = z
  .strictObject({
    detect: z
      .array(z.enum([...contentKinds, ...groups]))
      .default([])
      .describe('Kinds, or groups of kinds, that detectors find.'),
    patterns: z
      .record(
        z
          .string()
          .regex(/^[a-z0-9][a-z0-9-]{0,30}$/, 'must be lower-case letters, digits or "-", at most 31'),
        z.string().superRefine((regex, context) => {
          const fault = patternFault(regex)
          if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
        }),
      )
      .default({})
      .describe('Kinds of your own: regular expressions of RE2 by name.'),
    rules: z
      .boolean()
      .default(false)
      .describe(
        'By the rules of the policy that mask: what their detectors find, and every literal of a statement that compares or stores a column that they mask.',
      ),
  })
  .refine(
    ({ detect, patterns, rules }) => rules || detect.length + Object.keys(patterns).length > 0,
    'needs detect, patterns or rules',
  )

/** Who else is asked what a text holds. */
export const presidio = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .describe('Of the analyzer, such as http://127.0.0.1:5002; texts of answers are sent there in clear.'),
  language: z.string().min(1).default('en').describe('Language that texts are taken to be in.'),
  scoreMin: z.number().min(0).max(1).default(0.5).describe('What it is less sure of is no find.'),
  timeoutMs: z
    .number()
    .int()
    .positive()
    .max(60_000)
    .default(2000)
    .describe('It is not waited for any longer.'),
  requestsMax: z.number().int().positive().default(4).describe('Requests at once, of one worker.'),
  waitingMax: z.number().int().positive().default(64).describe('Requests that wait; further ones fail.'),
  onFailure: z
    .enum(['mask', 'refuse'])
    .default('mask')
    .describe('What becomes of values that it did not answer for: masked as a whole, or the result is cut.'),
})
