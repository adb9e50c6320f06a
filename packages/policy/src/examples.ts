/** Examples kept beside the rules: what must be allowed, held, blocked. They run against the rules they stand by, and no target. */
import type { Analysis } from '@portcullis/kernel'
import type { ParsedPolicy } from './parse.ts'
import { createPolicy } from './policy.ts'
import type { Example } from './schema.ts'
import type { Judged, Live, Subject } from './types.ts'

export type { Example } from './schema.ts'

/** One line an example that comes out otherwise. `read` gives one analysis a statement. */
export function exampleProblems(
  policy: ParsedPolicy,
  read: (sql: string) => readonly Analysis[],
): readonly string[] {
  const { rulesFor } = createPolicy(policy.rules)
  const problems = policy.examples.flatMap((example, at) => {
    const ruleset = rulesFor(subjectOf(example))
    const judged = read(example.sql).map((analysis) => ruleset.judge(analysis, () => liveOf(example)))
    const came = strictest(judged)
    const isMet = came.action === example.must && (example.by === undefined || example.by === came.rule)
    const wanted = `${example.must}${example.by === undefined ? '' : ` by ${example.by}`}`
    const message = `must be ${wanted}, is ${came.action}${came.rule && ` by ${came.rule}`}: ${example.sql}`
    return isMet ? [] : [{ path: ['examples', at], message }]
  })
  return policy.lines(problems)
}

/** As one message of the wire is: refused as a whole. */
function strictest(judged: readonly Judged[]): { action: string; rule: string } {
  for (const action of ['block', 'hold', 'deny'] as const) {
    const found = judged.find((one) => one.action === action)
    if (found) return found
  }
  const [mask] = judged.flatMap(({ masks }) => masks)
  return mask ? { action: 'mask', rule: mask.rule } : (judged[0] ?? { action: 'deny', rule: '' })
}

function subjectOf(example: Example): Subject {
  const { issuer = 'https://idp.example', subject = 'agent', groups = [], actors = [] } = example
  return {
    identity: {
      ...{ issuer, subject, groups, instance: 'example', task: '', ancestors: [] },
      delegation: actors.map((actor) => ({ issuer, subject: actor, kind: 'unknown' })),
    },
    protocol: 'postgres',
    target: example.target ?? 'example',
    labels: example.labels ?? {},
    role: example.role ?? '',
    database: example.database ?? 'postgres',
    origin: {
      address: example.address ?? '192.0.2.1',
      country: example.country ?? '',
      region: '',
      asn: example.asn ?? 0,
      asOrg: '',
    },
  }
}

function liveOf({ at, estimatedRows, totals = {} }: Example): Live {
  const { commands = 0, rowsOut = 0, bytesIn = 0, bytesOut = 0, ageSec = 0 } = totals
  return {
    // A Wednesday at noon.
    nowMs: Date.parse(at ?? '2026-01-07T12:00:00Z'),
    totals: { commands, rowsOut, bytesIn, bytesOut, ageMs: ageSec * 1000 },
    estimatedRows,
  }
}
