/** Approvals as a person reads them in a terminal. Pure: nothing that others wrote moves the cursor or hides. */
import { visibleLine, visibleText } from '@portcullis/kernel'
import { shown } from './errors.ts'
import { table } from './table.ts'

/** As the API shows it; see /v1/openapi.json. */
export interface Approval {
  readonly approvalId: string
  readonly kind: 'command' | 'access'
  readonly state: string
  readonly identity: string
  readonly delegation: readonly { readonly issuer: string; readonly subject: string }[]
  readonly task: string
  readonly target: string
  readonly role: string
  readonly database: string
  readonly text: string
  readonly values: readonly string[]
  readonly digest: string
  readonly rule: string
  readonly verdictId: string
  readonly policyVersion: string
  readonly estimatedRows: string
  readonly quorum: readonly { readonly groups: readonly string[]; readonly count: number }[]
  readonly why: string
  readonly askedAt: string
  readonly expiresAt: string
  readonly usableSec: number
  readonly usableUntil: string | null
  readonly commandId: string
  readonly answers: readonly {
    readonly answer: string
    readonly by: string
    readonly at: string
    readonly reason: string
  }[]
}

export function listText(items: readonly Approval[], nowMs: number): string {
  const rows = items.map((one) => [
    ...[one.approvalId, one.state, shown(whereOf(one)), shown(one.identity), leftOf(one, nowMs)],
    clipped(shown(one.kind === 'command' ? one.text : one.why)),
  ])
  return table([['ID', 'STATE', 'TARGET', 'ASKED BY', 'LEFT', 'WHAT'], ...rows])
}

export function oneText(one: Approval): string {
  const facts: (readonly [string, string])[] = [
    ['approval', one.approvalId],
    ['state', one.state],
    ['asked by', one.identity],
    ...one.delegation.map(({ issuer, subject }): readonly [string, string] => [
      'on behalf of',
      `${issuer}|${subject}`,
    ]),
    ['task', one.task],
    ['target', whereOf(one)],
    ['database', one.database],
    ['held by', one.rule === '' ? one.verdictId : `rule ${one.rule}`],
    ['policy', one.policyVersion],
    ['rows', Number(one.estimatedRows) < 0 ? '' : `about ${one.estimatedRows}`],
    ['needs', one.quorum.map(({ groups, count }) => `${count} of ${groups.join(' or ')}`).join(', and ')],
    ['asked at', one.askedAt],
    ['answer by', one.expiresAt],
    ['good for', `${one.usableSec} s once approved`],
    ['good until', one.usableUntil ?? ''],
    ['used by', one.commandId],
    ...one.answers.map(({ answer, by, at, reason }): readonly [string, string] => [
      answer === 'approve' ? 'approved' : 'denied',
      `by ${by} at ${at}${reason === '' ? '' : `: ${reason}`}`,
    ]),
  ]
  const known = facts.filter(([, value]) => value !== '').map(([name, value]) => [name, shown(value)])
  return [table(known), '', ...whatOf(one)].join('\n')
}

/** The statement in full, with its values; or why access is asked for. */
function whatOf({ kind, text, values, why }: Approval): string[] {
  if (kind === 'access') return [visibleText(why)]
  return [visibleText(text), ...values.map((value, index) => `$${index + 1} = ${visibleLine(value)}`)]
}

function whereOf({ target, role }: Approval): string {
  return role === '' ? target : `${target} as ${role}`
}

function leftOf({ state, expiresAt, usableUntil }: Approval, nowMs: number): string {
  const end = state === 'pending' ? expiresAt : state === 'approved' ? usableUntil : null
  if (end === null) return '-'
  const sec = Math.max(0, Math.round((Date.parse(end) - nowMs) / 1000))
  return sec < 120 ? `${sec} s` : `${Math.floor(sec / 60)} min`
}

function clipped(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 59)}…`
}
