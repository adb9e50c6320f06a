/** One text -> what a strict policy makes of it, and all that it rests on. Statements of one text are refused by the strictest. */
import { createPolicy, libraryNames, type Live, parsePolicy, type Subject } from '@portcullis/policy'
import { createSqlAnalyzer, resolveNames, type StatementAnalysis } from '@portcullis/sql'

export interface Decision {
  /** allow 0, hold or deny 1, block 2. */
  readonly rank: number
  readonly rules: string
  readonly rests: string
}

export interface Judge {
  decide(sql: string): Decision
  close(): Promise<void>
}

/** Everything of the library, reads are let through, and nothing else is. */
export async function createJudge(): Promise<Judge> {
  const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
  const used = libraryNames()
    .filter((name) => name !== 'business-hours')
    .map((name) => `  - use: ${name}`)
  const reads = `  - { name: reads, when: 'command.effects.all(e, e == "read")', action: allow }`
  const { rules } = parsePolicy(`rules:\n${used.join('\n')}\n${reads}\n`, 'policy.yaml')
  const ruleset = createPolicy(rules).rulesFor(subject)
  return {
    decide(sql) {
      const text = Buffer.from(sql)
      const analyses = resolveNames(analyzer.analyzeNow(text, 0, text.length), () => undefined)
      const judged = analyses.map((analysis) => ruleset.judge(analysis, () => live))
      return {
        rank: Math.max(...judged.map(({ action }) => ranks[action])),
        rules: judged
          .map(({ action, rule, alerts }) => [action, rule, ...alerts.map((one) => one.rule)].join(' '))
          .join('; '),
        rests: JSON.stringify(analyses.map(restsOn)),
      }
    },
    close: () => analyzer.close(),
  }
}

const ranks = { allow: 0, hold: 1, deny: 1, block: 2 } as const

/** All that a rule may read. */
function restsOn({
  verb,
  effects,
  objects,
  privileged,
  where,
  returnsRows,
  undoes,
}: StatementAnalysis): unknown {
  return { verb, effects, objects, privileged, where, returnsRows, undoes }
}

const subject: Subject = {
  identity: {
    issuer: 'https://idp.example',
    subject: 'agent:7',
    groups: ['agents'],
    delegation: [],
    instance: 'i',
    task: '',
    ancestors: [],
  },
  protocol: 'postgres',
  target: 'shop',
  labels: {},
  role: '',
  database: 'shop',
  origin: { address: '192.0.2.7', country: 'DE', region: '', asn: 64500, asOrg: '' },
}
const live: Live = {
  nowMs: Date.parse('2026-01-07T12:00:00Z'),
  totals: { commands: 0, rowsOut: 0, bytesIn: 0, bytesOut: 0, ageMs: 0 },
}
