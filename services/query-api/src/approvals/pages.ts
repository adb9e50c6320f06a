/** What people see of approvals: the list of what waits, and one of them with all that it takes to judge it. Pure. */
import {
  type Approval,
  type CommandRequest,
  groupText,
  identityKey,
  standingOf,
  visibleText,
} from '@portcullis/kernel'
import { type Html, html, page } from '../people/html.ts'
import type { Session } from '../people/session.ts'

export interface Viewed {
  readonly approval: Approval
  readonly nowUs: number
  /** Why whoever looks cannot answer; undefined where they can. */
  readonly objection: string | undefined
  /** What was wrong with what they have just tried. */
  readonly problem?: string
}

export function approvalsPage(waiting: readonly Approval[], nowUs: number): string {
  if (waiting.length === 0) return page('Approvals', html`<p>Nothing waits for an answer.</p>`)
  const items = waiting.map(
    (approval) =>
      html`<li><a href="/approvals/${encodeURIComponent(approval.approvalId)}">${titleOf(approval)}</a><br><small>${identityKey(approval.request.identity)}, ${leftText(approval, nowUs)}</small></li>`,
  )
  return page('Approvals', html`<ul class="list">${items}</ul>`)
}

export function approvalPage(session: Session, { approval, nowUs, objection, problem }: Viewed): string {
  const { request, answers } = approval
  const trouble =
    problem === undefined ? html`` : html`<p class="error" role="alert" id="problem">${problem}</p>`
  return page(
    titleOf(approval),
    html`${trouble}<p class="state">${stateText(approval, nowUs)}</p>
${request.kind === 'command' ? statementOf(request) : html`<p>${visibleText(request.reason)}</p>`}
<dl>${factsOf(approval).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
${answers.map(({ answer, by, at, reason }) => html`<p><strong>${answer === 'approve' ? 'Approved' : 'Denied'}</strong> by ${by} at ${timeText(at)}${reason === '' ? '' : `: ${visibleText(reason)}`}</p>`)}
${standingOf(approval, nowUs) === 'pending' ? formOf(session, approval, objection) : html``}
<p><a href="/approvals">All that waits</a></p>`,
  )
}

function formOf({ csrf }: Session, { approvalId, request }: Approval, objection: string | undefined): Html {
  if (objection !== undefined) return html`<p>You cannot answer: ${objection}.</p>`
  return html`<form method="post" action="/approvals/${encodeURIComponent(approvalId)}"><input type="hidden" name="csrf" value="${csrf}"><input type="hidden" name="digest" value="${request.digest}"><label for="reason">Why (kept in the trail)</label><textarea id="reason" name="reason" rows="3" maxlength="2000"></textarea><button name="answer" value="deny">Deny</button><button class="go" name="answer" value="approve">Approve</button></form>`
}

function statementOf({ statement, values }: CommandRequest): Html {
  const bound =
    values.length === 0
      ? html``
      : html`<p>With the values</p><ol>${values.map((value) => html`<li><code>${visibleText(value)}</code></li>`)}</ol>`
  return html`<pre id="statement">${visibleText(statement)}</pre>${bound}`
}

function titleOf({ request }: Approval): string {
  const where = request.role === '' ? request.target : `${request.target} as ${request.role}`
  return request.kind === 'command' ? `A command at ${where}` : `Access to ${where}`
}

function factsOf({ approvalId, request, requestedAt, usableUntil }: Approval): [string, string][] {
  const { identity, quorum, deadline } = request
  const facts: [string, string][] = [
    ['Asked by', identityKey(identity)],
    ['On behalf of', identity.delegation.map(identityKey).join(', then ')],
    ['Task', identity.task],
    ['Copy', identity.instance],
    ['Groups', identity.groups.join(', ')],
    ['Target', request.target],
    ['Role', request.role],
    ...(request.kind === 'command' ? commandFacts(request) : []),
    [
      'Needs',
      quorum.map(({ groups, count }) => `${count} of ${groups.map(groupText).join(' or ')}`).join(', and '),
    ],
    ['Asked at', timeText(requestedAt)],
    ['Answer by', timeText(deadline)],
    ['Good for', `${Math.round(request.usableUs / 1e6)} s once approved`],
    ['Good until', usableUntil === 0 ? '' : timeText(usableUntil)],
    ['Number', approvalId],
  ]
  return facts.filter(([, value]) => value !== '').map(([name, value]) => [name, visibleText(value)])
}

function commandFacts(request: CommandRequest): [string, string][] {
  const { estimatedRows } = request
  return [
    ['Database', request.database],
    ['Rule', request.rule],
    ['Verdict', request.verdictId],
    ['Policy', request.policyVersion],
    ['Rows', estimatedRows < 0 ? 'not estimated' : `about ${estimatedRows}, as the target estimates`],
    ['The client', request.waiting ? 'waits in its connection' : 'was told to come again'],
    ['Allows', request.use === 'once' ? 'this command, once' : 'this command, as often as asked'],
    ['Session', request.sessionId],
  ]
}

function stateText(approval: Approval, nowUs: number): string {
  const state = standingOf(approval, nowUs)
  if (state === 'pending') return `Waits for an answer, ${leftText(approval, nowUs)}.`
  if (state === 'expired') return 'Expired: nothing comes of it any more.'
  const by = state === 'withdrawn' ? '' : `, by ${approval.by}`
  return `It is ${state} since ${timeText(approval.since)}${by}.`
}

function leftText({ request }: Approval, nowUs: number): string {
  const sec = Math.max(0, Math.round((request.deadline - nowUs) / 1e6))
  return sec < 120 ? `${sec} s left` : `${Math.floor(sec / 60)} min left`
}

function timeText(us: number): string {
  return `${new Date(us / 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}
