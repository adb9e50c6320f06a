/** What a changed policy would have done with what was recorded. Changes nothing; one at a time, since it reads much. */
import { Readable } from 'node:stream'
import { policyCharsMax } from '@portcullis/kernel'
import { type ParsedRule, PolicyError, parsePolicy } from '@portcullis/policy'
import { z } from 'zod'
import { type BacktestOptions, type BacktestStep, runBacktest } from '../backtest/run.ts'
import type { Register } from '../endpoint.ts'
import { identityKeyText, invalid, isoTime, shortText } from '../input.ts'
import { ApiError, apiErrorOf, problemOf } from '../problems.ts'

export interface BacktestRouteParts extends Pick<BacktestOptions, 'trail' | 'labelsNow'> {
  /** Those that are in force, but for the document of that name. */
  rulesBeside(document: string | undefined): readonly ParsedRule[]
  readonly nowUs: () => number
}

const body = z.strictObject({
  policy: z
    .string()
    .max(policyCharsMax)
    .optional()
    .describe('YAML of all rules, or with `as` of one document. Where absent, what is in force is tried.'),
  as: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be the name of a policy of the API')
    .optional()
    .describe('The candidate is this document beside the others that are in force.'),
  from: isoTime.optional().describe('At or after; a day before `to` where absent.'),
  to: isoTime.optional().describe('Before; now where absent.'),
  target: shortText.optional(),
  identity: identityKeyText.optional(),
})

export function backtestRoutes(register: Register, parts: BacktestRouteParts): void {
  let isBusy = false
  register({
    method: 'POST',
    url: '/v1/backtests',
    tag: 'configuration',
    role: 'responder',
    summary: 'Try a policy on the commands that were recorded',
    description:
      'Answers with lines of JSON: `{"progress": …}` as it goes on, and last `{"report": …}`, or `{"problem": …}` where it failed on the way. What verdicts and caps refused is left out. `doubtful` counts commands of which something that a rule asks was not recorded: there the rule errs to the safe side. Nothing is changed.',
    body,
    bodyBytesMax: 2 * policyCharsMax + 5000,
    example: { policy: 'rules: [{ use: where-missing }, { name: rest, action: allow }]', target: 'shop' },
    answer: { status: 200, schema: z.string(), mediaType: 'application/x-ndjson' },
    async handle({ body: { policy, as, from, to, target, identity }, request, reply }) {
      const toUs = to ?? parts.nowUs()
      const fromUs = from ?? toUs - dayUs
      const rules = candidate(parts, policy, as)
      if (fromUs >= toUs) throw invalid([{ in: 'body', field: 'from', message: 'must be before `to`' }])
      if (isBusy) throw new ApiError('overloaded', 'Another backtest is running.', { retryAfterSec: 10 })
      isBusy = true
      const asked = { fromUs, toUs, target, identity }
      const steps = runBacktest({ trail: parts.trail, labelsNow: parts.labelsNow, rules, asked })
      const lines = Readable.from(linesOf(steps, request.id))
      lines.once('close', () => {
        isBusy = false
      })
      reply.type('application/x-ndjson; charset=utf-8').header('x-accel-buffering', 'no')
      return lines
    },
  })
}

const dayUs = 86_400_000_000

/** @throws ApiError invalid_request with every mistake. */
function candidate(
  { rulesBeside }: BacktestRouteParts,
  policy: string | undefined,
  as: string | undefined,
): readonly ParsedRule[] {
  if (policy === undefined) return rulesBeside(undefined)
  try {
    const { rules } = parsePolicy(policy, as ?? 'policy')
    if (as === undefined) return rules
    return [...rulesBeside(as), ...rules.map((rule) => ({ ...rule, name: `${as}/${rule.name}` }))]
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error
    throw invalid(error.problems.map((message) => ({ in: 'body', field: 'policy', message })))
  }
}

/** Its status is long gone when something fails on the way. */
async function* linesOf(steps: AsyncIterable<BacktestStep>, requestId: string): AsyncGenerator<string> {
  try {
    for await (const step of steps) yield `${JSON.stringify(step)}\n`
  } catch (error) {
    yield `${JSON.stringify({ problem: problemOf(apiErrorOf(error), requestId) })}\n`
  }
}
