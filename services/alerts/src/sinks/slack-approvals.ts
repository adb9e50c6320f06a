/**
 * Approvals in Slack: a message with buttons for what waits, edited in place as people answer and when its time is over, so
 * that an old message offers nothing. The statement stands there as text that Slack does not interpret. Where it does not fit,
 * there is no button to approve it: nobody approves what they cannot see. What a button says is the approval and the digest
 * of what was shown; who may press, and whether it still counts, is decided where the press arrives.
 */
import {
  type Alert,
  type ApprovalNotice,
  groupText,
  identityKey,
  type Sink,
  visibleLine,
  visibleText,
} from '@portcullis/kernel'
import { chainOf } from '../notices.ts'
import { clip, isoTime } from '../wording.ts'
import type { Post } from './post.ts'
import { escapeClipped, slackMessage } from './slack.ts'
import { sendOrUpdate, type SlackBot } from './slack-api.ts'

export interface SlackApprovalsOptions {
  readonly bot: SlackBot
  readonly consoleUrl?: string
  readonly post: Post
}

export function createSlackApprovalsSink({ bot, consoleUrl, post }: SlackApprovalsOptions): Sink {
  return {
    name: 'slack-approvals',
    deliver(alert, reference) {
      const message = alert.approval
        ? approvalMessage(alert, alert.approval)
        : slackMessage(alert, consoleUrl, false)
      return sendOrUpdate(bot, post, message, reference)
    },
  }
}

/** https://docs.slack.dev/reference/block-kit: within its limits whatever the approval holds. */
export function approvalMessage({ at }: Alert, { approval, isWhole, standing, link }: ApprovalNotice) {
  const { request, approvalId } = approval
  const isPending = standing === 'pending'
  const title = `${isPending ? ':raised_hand:' : icons[standing]} ${titleOf(approval)}`
  const blocks = [
    { type: 'header', text: { type: 'plain_text', text: clip(title, 150), emoji: true } },
    ...statementBlocks(request),
    { type: 'section', fields: fieldsOf(approval).map(([name, value]) => field(name, value)) },
    ...(isWhole ? [] : [section('_Not all of it fits here: open the page to see and approve it._')]),
    ...answerBlocks(approval),
    ...(isPending
      ? [reasonBlock, actionsOf(approval, isWhole, link)]
      : [section(`*${standing.charAt(0).toUpperCase()}${standing.slice(1)}*`)]),
    context(`Portcullis · approval ${approvalId} · ${isoTime(at)}`),
  ]
  const text = escapeClipped(`${titleOf(approval)}: ${standing}, ${chainOf(approval)}`, 3000)
  return { text, blocks }
}

const icons: Record<Exclude<ApprovalNotice['standing'], 'pending'>, string> = {
  ...{ approved: ':white_check_mark:', used: ':white_check_mark:', denied: ':no_entry:' },
  ...{ withdrawn: ':heavy_minus_sign:', revoked: ':no_entry:', expired: ':hourglass:' },
}

type Approval = ApprovalNotice['approval']

function titleOf({ request: { kind, target, role } }: Approval): string {
  const where = role === '' ? target : `${target} as ${role}`
  return kind === 'command' ? `A command waits at ${where}` : `Access to ${where}`
}

/** Preformatted rich text: Slack reads no mark-up in it. */
function statementBlocks(request: Approval['request']): object[] {
  if (request.kind === 'access') return [preformatted(visibleText(request.reason))]
  const values = request.values.map((value, index) => `$${index + 1} = ${visibleLine(value)}`)
  return [
    ...pieces(visibleText(request.statement)).map(preformatted),
    ...pieces(values.join('\n')).map(preformatted),
  ]
}

function preformatted(text: string): object {
  return {
    type: 'rich_text',
    elements: [{ type: 'rich_text_preformatted', elements: [{ type: 'text', text }] }],
  }
}

/** Whole characters, none lost. */
function pieces(text: string): string[] {
  const found: string[] = []
  let piece = ''
  for (const char of text) {
    if (piece.length + char.length > pieceCharsMax) {
      found.push(piece)
      piece = ''
    }
    piece += char
  }
  return piece === '' ? found : [...found, piece]
}

const pieceCharsMax = 2_900

function fieldsOf(approval: Approval): [string, string][] {
  const { request } = approval
  const { identity, quorum, deadline, target, role } = request
  const fields: [string, string][] = [
    ['Asked by', chainOf(approval)],
    ['Task', identity.task],
    ['Target', role === '' ? target : `${target} as ${role}`],
    [
      'Needs',
      quorum.map(({ groups, count }) => `${count} of ${groups.map(groupText).join(' or ')}`).join(', and '),
    ],
    ['Answer by', isoTime(deadline)],
    ['Good for', `${Math.round(request.usableUs / 1e6)} s once approved`],
  ]
  if (request.kind === 'command') {
    const { rule, verdictId, policyVersion, estimatedRows } = request
    fields.push(['Held by', rule === '' ? `verdict ${verdictId}` : `rule ${rule}`])
    fields.push(['Policy', policyVersion])
    fields.push(['Rows', estimatedRows < 0 ? '' : `about ${estimatedRows}`])
  }
  return fields.filter(([, value]) => value !== '')
}

function field(name: string, value: string): object {
  return { type: 'mrkdwn', text: `*${name}*\n${escapeClipped(visibleText(value), 1_900 - name.length)}` }
}

function answerBlocks({ answers }: Approval): object[] {
  const shown = answers.slice(-5).map(({ answer, by, reason, at }) => {
    const why = reason === '' ? '' : `: ${visibleText(reason)}`
    return escapeClipped(
      `${answer === 'approve' ? 'Approved' : 'Denied'} by ${by} at ${isoTime(at)}${why}`,
      500,
    )
  })
  return shown.length === 0 ? [] : [section(shown.join('\n'))]
}

const reasonBlock = {
  ...{ type: 'input', block_id: 'reason', optional: true },
  label: { type: 'plain_text', text: 'Why (kept in the trail)' },
  element: { type: 'plain_text_input', action_id: 'reason', max_length: 2000 },
}

function actionsOf({ approvalId, request }: Approval, isWhole: boolean, link: string | undefined): object {
  const value = JSON.stringify({ approval: approvalId, digest: request.digest })
  const button = (text: string, more: object) => ({
    ...{ type: 'button', text: { type: 'plain_text', text } },
    ...more,
  })
  const confirm = {
    title: { type: 'plain_text', text: 'Approve?' },
    text: {
      type: 'plain_text',
      text: clip(`${identityKey(request.identity)} at ${request.target}`, 300),
    },
    ...{ confirm: { type: 'plain_text', text: 'Approve' }, deny: { type: 'plain_text', text: 'Back' } },
  }
  const approve = button('Approve', { action_id: 'portcullis.approve', style: 'primary', value, confirm })
  return {
    type: 'actions',
    elements: [
      ...(isWhole ? [approve] : []),
      button('Deny', { action_id: 'portcullis.deny', style: 'danger', value }),
      ...(link === undefined ? [] : [button('Open', { action_id: 'portcullis.open', url: link })]),
    ],
  }
}

function section(text: string): object {
  return { type: 'section', text: { type: 'mrkdwn', text } }
}

function context(text: string): object {
  return { type: 'context', elements: [{ type: 'mrkdwn', text: escapeClipped(text, 1_900) }] }
}
