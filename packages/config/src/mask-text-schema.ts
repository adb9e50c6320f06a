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
