/** The form of a policy file. Strict: a misspelt key would be a rule that does not hold. */
import { isIP } from 'node:net'
import { patternFault } from '@portcullis/expressions'
import { contentGroups, contentKinds } from '@portcullis/kernel'
import { z } from 'zod'
import { approval } from './approval-schema.ts'

const groups = Object.keys(contentGroups) as (keyof typeof contentGroups)[]

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be lower-case letters, digits, ".", "_" or "-", at most 63')
const texts = z.array(z.string().min(1).max(256)).min(1).max(1000)
const clockTime = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be HH:MM')
const positive = z.number().int().positive()

export const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const

const time = z
  .strictObject({
    days: z.array(z.enum(days)).min(1).optional(),
    from: clockTime.optional(),
    to: clockTime.optional(),
    zone: z.string().default('UTC').refine(isZone, 'is no time zone, such as Europe/Berlin'),
    outside: z.boolean().default(false),
  })
  .refine(({ from, to }) => (from === undefined) === (to === undefined), 'from and to go together')
  .refine(({ days, from }) => days !== undefined || from !== undefined, 'needs days, or from and to')

const match = z.strictObject({
  protocols: texts.optional(),
  targets: texts.optional(),
  labels: z.record(z.string(), z.union([z.string(), z.array(z.string()).min(1)])).optional(),
  roles: z.array(z.string().max(256)).min(1).optional(),
  databases: texts.optional(),
  issuers: texts.optional(),
  subjects: texts.optional(),
  groups: texts.optional(),
  delegated: z.boolean().optional(),
  actors: texts.optional(),
  countries: z
    .array(z.string().regex(/^[A-Z]{2}$/, 'must be two capital letters, as in ISO 3166'))
    .min(1)
    .optional(),
  asns: z.array(positive).min(1).optional(),
  networks: z.array(z.string().refine(isNetwork, 'must be an address or a network')).min(1).optional(),
  time: time.optional(),
})

const mask = z
  .strictObject({
    columns: z
      .array(
        z
          .string()
          .max(256)
          .regex(
            /^[^.]+(\.[^.]+){0,2}$/,
            'must be COLUMN, TABLE.COLUMN or SCHEMA.TABLE.COLUMN; "*" stands for any text',
          ),
      )
      .max(1000)
      .default([]),
    /** Kinds, and groups of kinds, that are masked wherever they are found. */
    detect: z.array(z.enum([...contentKinds, ...groups])).default([]),
    /** Kinds of its own: regular expressions of RE2 by name. */
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
      .default({}),
    /** Entities that Presidio's analyzer is asked for. */
    presidio: z
      .array(z.string().regex(/^[A-Z][A-Z0-9_]{0,63}$/, 'must be an entity of Presidio, such as PERSON'))
      .max(100)
      .default([]),
    method: z.enum(['redact', 'partial', 'hash', 'null', 'fake']).default('redact'),
    /** Characters that `partial` leaves at the end. */
    keep: z.number().int().min(1).max(16).default(4),
    /** What becomes of an answer of which nobody can tell whether the columns are in it. */
    lost: z.enum(['mask', 'refuse']).default('mask'),
    /** How often the columns may decide what comes back: by one identity, each of them. */
    predicates: z
      .strictObject({ perHour: positive, over: z.enum(['throttle', 'hold', 'block']).default('throttle') })
      .optional(),
  })
  .refine(
    ({ columns, detect, patterns, presidio }) =>
      columns.length + detect.length + Object.keys(patterns).length + presidio.length > 0,
    'needs columns, detect, patterns or presidio',
  )

const caps = z
  .strictObject({ rowsPerStatement: positive.optional(), bytesPerStatement: positive.optional() })
  .refine((caps) => Object.keys(caps).length > 0, 'needs rowsPerStatement or bytesPerStatement')

const severity = z.enum(['info', 'warning', 'error', 'critical'])

/** What a rule of the library takes over where it is used. */
const changeable = {
  match: match.optional(),
  observe: z.boolean().optional(),
  alert: severity.optional(),
  approval: approval.optional(),
}

const used = z.strictObject({
  use: z.string(),
  name: name.optional(),
  action: z.enum(['hold', 'block']).optional(),
  ...changeable,
})

const ownRule = z.strictObject({
  name,
  ...changeable,
  when: z.string().min(1).optional(),
  action: z.enum(['allow', 'mask', 'hold', 'block', 'cap']).optional(),
  cap: caps.optional(),
  mask: mask.optional(),
})

const rule = ownRule
  .refine(({ action, alert }) => action !== undefined || alert !== undefined, 'needs an action, or alert')
  .refine(
    ({ action, cap }) => (action === 'cap') === (cap !== undefined),
    'action cap and the key cap go together',
  )
  .refine(
    ({ action, mask }) => (action === 'mask') === (mask !== undefined),
    'action mask and the key mask go together',
  )
  .refine(
    ({ action, approval }) => approval === undefined || action === 'hold',
    'the key approval goes with action hold',
  )

const example = z.strictObject({
  must: z.enum(['allow', 'hold', 'block', 'deny', 'mask']),
  by: name.optional(),
  sql: z.string().min(1),
  target: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  role: z.string().optional(),
  database: z.string().optional(),
  subject: z.string().optional(),
  issuer: z.string().optional(),
  groups: z.array(z.string()).optional(),
  actors: z.array(z.string()).optional(),
  address: z.string().optional(),
  country: z.string().optional(),
  asn: positive.optional(),
  at: z.iso.datetime({ offset: true }).optional(),
  estimatedRows: z.number().int().nonnegative().optional(),
  totals: z
    .strictObject({
      commands: z.number().optional(),
      rowsOut: z.number().optional(),
      bytesIn: z.number().optional(),
      bytesOut: z.number().optional(),
      ageSec: z.number().optional(),
    })
    .optional(),
})

/** Rules are read one by one, since one of a wrong form must not hide what is wrong with the others. */
export const fileSchema = z.strictObject({
  rules: z.array(z.unknown()).min(1).max(1000),
  examples: z.array(example).max(10_000).default([]),
})

export const entrySchemas = { used, rule }

export type Rule = z.output<typeof rule>
export type Used = z.output<typeof used>
export type Match = z.output<typeof match>
export type TimeSpan = z.output<typeof time>
export type Mask = z.output<typeof mask>
export interface RuleCaps {
  readonly rowsPerStatement?: number | undefined
  readonly bytesPerStatement?: number | undefined
}
export type Example = z.output<typeof example>

function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }) !== undefined
  } catch {
    return false
  }
}

function isNetwork(text: string): boolean {
  const [network = '', bits, ...rest] = text.split('/')
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(network)] ?? -1
  if (bits === undefined) return most > 0
  return rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= most
}
