/** A changed policy over what was recorded: run at the gate's API, which has the trail; shown here. */
import { resolve } from 'node:path'
import { ofProblem, type Problem } from '../api.ts'
import { type Command, type Options, type Out, textOption } from '../command.ts'
import { CliError, shown } from '../errors.ts'
import { gateOf } from '../gate.ts'
import { table } from '../table.ts'
import { readExamples, textOf } from './policy.ts'

interface Change {
  readonly from: string
  readonly to: string
  readonly rule: string
  readonly identity: string
  readonly target: string
  readonly commands: number
  readonly doubtful: number
  readonly examples: readonly string[]
}

interface Report {
  readonly policyVersion: string
  readonly commands: number
  readonly same: number
  readonly otherRule: number
  readonly changed: number
  readonly leftOut: Readonly<Record<string, number>>
  readonly doubtful: { readonly commands: number; readonly byAttribute: Readonly<Record<string, number>> }
  readonly assumedLabels: number
  readonly changes: readonly Change[]
  readonly furtherChanges: number
}

type Line =
  | { readonly progress: { readonly commands: number; readonly of: number } }
  | { readonly report: Report }
  | { readonly problem: Problem & { readonly status: number } }

export const backtest: Command = {
  name: 'backtest',
  summary: 'What a policy would have done with the commands that were recorded',
  usage: '[--policy FILE [--as NAME]] [--from T] [--to T] [--target T] [--identity I]',
  details: [
    '--policy FILE   the candidate, as all there is; where absent, the policy in force is tried',
    '--as NAME       the candidate is this policy of the API, beside the others and the file that are in force',
    '--from, --to    a date and time such as 2026-11-22T10:00:00Z; the last day where absent',
    '--identity I    ISSUER|SUBJECT',
    'Exit code 0 whatever it finds. Needs the role responder. Nothing is changed at the gate.',
  ],
  example: 'portcullis backtest --policy policy.yaml --from 2026-11-19T00:00:00Z --target shop',
  options: {
    policy: { type: 'string' },
    as: { type: 'string' },
    from: { type: 'string' },
    to: { type: 'string' },
    target: { type: 'string' },
    identity: { type: 'string' },
  },
  async run(call) {
    const { options, out } = call
    const body = await bodyOf(options)
    // A time here, and not where the proof comes from.
    const { from: _, ...others } = options
    const { api, proof } = gateOf({ ...call, options: others })
    const { token } = await proof()
    for await (const line of api.lines<Line>('/v1/backtests', token, body)) {
      if ('problem' in line) throw ofProblem(api.url, line.problem.status, line.problem)
      if ('report' in line) {
        out.result(line.report, textOfReport(line.report, out))
        return 0
      }
      const { commands, of } = line.progress
      if (out.isTerminal && commands < of) out.remark(`${commands} of ${of} commands`)
    }
    throw new CliError('unreachable', 'the answer ended before the report', 'try again')
  },
}

/** @throws CliError usage with every mistake of the candidate, by the lines of its file. */
async function bodyOf(options: Options): Promise<object> {
  const file = textOption(options, 'policy')
  const given = ['as', 'from', 'to', 'target', 'identity'].flatMap((name) => {
    const text = textOption(options, name)
    return text === undefined ? [] : [[name, text] as const]
  })
  const policy = file === undefined ? undefined : textOf(resolve(file))
  if (policy !== undefined) await readExamples(policy, file ?? '')
  return { ...Object.fromEntries(given), ...(policy !== undefined && { policy }) }
}

function textOfReport(report: Report, { bold }: Pick<Out, 'bold'>): string {
  const { commands, same, otherRule, changed, leftOut, doubtful, assumedLabels } = report
  const out = Object.values(leftOut).reduce((sum, n) => sum + n, 0)
  const reasons = Object.entries(leftOut).map(([reason, n]) => `${reason} ${n}`)
  const unknown = Object.entries(doubtful.byAttribute).map(([attribute, n]) => `${attribute} ${n}`)
  const lines = [
    `policy ${report.policyVersion}: of ${commands} commands ${changed} come out otherwise`,
    ...(otherRule > 0 ? [`${otherRule} come out the same by another rule, ${same} by the same one`] : []),
    ...(out > 0 ? [`${out} were refused by other than rules, and are left out: ${reasons.join(', ')}`] : []),
    ...(assumedLabels > 0 ? [`${assumedLabels} are judged by the labels that their target has now`] : []),
    ...(doubtful.commands > 0
      ? [
          `${doubtful.commands} may come out otherwise than shown, since what a rule asks was not recorded: ${unknown.join(', ')}`,
          '  block, hold, mask, cap and alert are taken to apply to them, and allow is not',
        ]
      : []),
  ]
  if (changed === 0) return lines.map(shown).join('\n')
  return [
    ...lines.map(shown),
    '',
    bold('By rule'),
    changesBy(report, ({ rule }) => rule || '(no rule allows it)', 'RULE'),
    '',
    bold('By identity'),
    changesBy(report, ({ identity }) => identity, 'IDENTITY'),
    ...(report.furtherChanges > 0 ? ['', `${report.furtherChanges} further kinds of change`] : []),
  ].join('\n')
}

function changesBy({ changes }: Report, keyOf: (change: Change) => string, head: string): string {
  const rows = new Map<string, Change>()
  for (const change of changes) {
    const key = JSON.stringify([keyOf(change), change.from, change.to])
    const before = rows.get(key)
    rows.set(
      key,
      before
        ? {
            ...before,
            commands: before.commands + change.commands,
            examples: [...before.examples, ...change.examples].slice(0, examplesMax),
          }
        : change,
    )
  }
  const sorted = Array.from(rows.values()).sort((a, b) => b.commands - a.commands)
  const listed = sorted
    .slice(0, rowsMax)
    .map((change) => [
      shown(keyOf(change)),
      `${change.from} -> ${change.to}`,
      String(change.commands),
      change.examples.slice(0, examplesMax).join(' '),
    ])
  const more = sorted.length > rowsMax ? `\n… and ${sorted.length - rowsMax} more (--json has them)` : ''
  return table([[head, 'CHANGE', 'COMMANDS', 'EXAMPLES'], ...listed]) + more
}

const examplesMax = 2
const rowsMax = 30
