/**
 * What of approvals is worth telling, as a fold over what the control log holds: one message for each that waits for an
 * answer, brought up to date as people answer, and closed when nothing can come of it any more. Pure: time is handed in.
 * What was decided before anybody was told is history and never told.
 */
import { type Alert, type Approval, identityKey, type Standing, standingOf } from '@portcullis/kernel'

export interface Notice {
  /** As it was told last, long texts cut. */
  approval: Approval
  isWhole: boolean
  /** What was told last: standing and number of answers. */
  told: string
}

export type Notices = Map<string, Notice>

/** Of an approval as it now stands in the log. `linkBase`: where the page is that shows it; undefined for none. */
export function onApproval(
  state: Notices,
  approval: Approval,
  nowUs: number,
  linkBase: string | undefined,
): Alert[] {
  const { approvalId, answers } = approval
  const standing = standingOf(approval, nowUs)
  const known = state.get(approvalId)
  if (!known && standing !== 'pending') return []
  const told = `${standing} ${answers.length}`
  if (known?.told === told) return []
  const notice = { ...cut(approval), told }
  const isOpen = standing === 'pending' || standing === 'approved'
  if (isOpen) state.set(approvalId, notice)
  else state.delete(approvalId)
  return [alertOf(notice, standing, isOpen ? 'trigger' : 'resolve', nowUs, linkBase)]
}

/** Lets time pass: what has expired is told. */
export function onApprovalTick(state: Notices, nowUs: number, linkBase: string | undefined): Alert[] {
  return [...state.values()].flatMap(({ approval }) => onApproval(state, approval, nowUs, linkBase))
}

/** More than a person reads in a message; the page has all of it. */
export const noticeTextCharsMax = 8_000
const noticeValuesMax = 20
const noticeValueCharsMax = 200

function cut(approval: Approval): Pick<Notice, 'approval' | 'isWhole'> {
  const { request } = approval
  if (request.kind === 'access') return { approval, isWhole: true }
  const { statement, values } = request
  const isWhole =
    statement.length <= noticeTextCharsMax &&
    values.length <= noticeValuesMax &&
    values.every(({ length }) => length <= noticeValueCharsMax)
  if (isWhole) return { approval, isWhole }
  const shorter = {
    statement: statement.slice(0, noticeTextCharsMax),
    values: values.slice(0, noticeValuesMax).map((value) => value.slice(0, noticeValueCharsMax)),
  }
  return { approval: { ...approval, request: { ...request, ...shorter } }, isWhole }
}

function alertOf(
  { approval, isWhole }: Notice,
  standing: Standing,
  action: Alert['action'],
  at: number,
  linkBase: string | undefined,
): Alert {
  const { approvalId, request } = approval
  const what = request.kind === 'command' ? 'a command' : 'access'
  const link =
    linkBase === undefined
      ? undefined
      : `${linkBase.replace(/\/$/, '')}/approvals/${encodeURIComponent(approvalId)}`
  return {
    ...{ dedupKey: `portcullis-approval-${approvalId}`.slice(0, 255), action, severity: 'info', at },
    title: `${request.identity.subject} asks for ${what} at ${request.target}: ${standing}`,
    ...{ verdict: null, findings: [] },
    approval: { approval, isWhole, standing, link },
  }
}

/** Whoever asks, with those on whose behalf, the first first. */
export function chainOf({ request: { identity } }: Approval): string {
  return [...identity.delegation.map(identityKey), identityKey(identity)].join(' → ')
}
