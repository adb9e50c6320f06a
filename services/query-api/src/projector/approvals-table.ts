/** Rows of the table `approvals`: an approval as the fold of the control log had it after an event. */
import { type Approval, type CommandRequest, groupText, identityKey } from '@portcullis/kernel'
import type { Column, Table } from '@portcullis/platform/audit'
import { bus, type Source, text, time } from './columns.ts'

export interface ApprovalRow extends Source {
  readonly approval: Approval
}

const who = ({ approval }: ApprovalRow) => approval.request.identity
const command =
  <T>(of: (request: CommandRequest) => T, otherwise: T) =>
  ({ approval: { request } }: ApprovalRow): T =>
    request.kind === 'command' ? of(request) : otherwise
const last = ({ approval }: ApprovalRow) => approval.answers.at(-1)

const columns: readonly Column<ApprovalRow>[] = [
  { name: 'approval_id', type: 'String', of: ({ approval }) => approval.approvalId },
  { name: 'kind', type: text, of: ({ approval }) => approval.request.kind },
  { name: 'state', type: text, of: ({ approval }) => approval.state },
  { name: 'asked_at', type: time, of: ({ approval }) => approval.requestedAt },
  { name: 'identity', type: text, of: (row) => identityKey(who(row)) },
  { name: 'issuer', type: text, of: (row) => who(row).issuer },
  { name: 'subject', type: text, of: (row) => who(row).subject },
  { name: 'groups', type: `Array(${text})`, of: (row) => who(row).groups },
  {
    name: 'delegation',
    type: 'Array(Tuple(String, String, String))',
    of: (row) => who(row).delegation.map(({ issuer, subject, kind }) => [issuer, subject, kind]),
  },
  { name: 'instance', type: 'String', of: (row) => who(row).instance },
  { name: 'task', type: 'String', of: (row) => who(row).task },
  { name: 'target', type: text, of: ({ approval }) => approval.request.target },
  { name: 'role', type: text, of: ({ approval }) => approval.request.role },
  { name: 'database', type: text, of: command(({ database }) => database, '') },
  { name: 'protocol', type: text, of: command(({ protocol }) => protocol, '') },
  { name: 'session_id', type: 'String', of: command(({ sessionId }) => sessionId, '') },
  { name: 'command_id', type: 'String', of: ({ approval }) => approval.commandId },
  { name: 'text', type: 'String', of: command(({ statement }) => statement, '') },
  { name: 'text_hash', type: 'String', of: ({ approval }) => approval.request.digest },
  { name: 'fingerprint', type: 'String', of: command(({ fingerprint }) => fingerprint, '') },
  { name: 'bound_values', type: 'Array(String)', of: command<readonly string[]>(({ values }) => values, []) },
  { name: 'policy_version', type: text, of: command(({ policyVersion }) => policyVersion, '') },
  { name: 'rule', type: text, of: command(({ rule }) => rule, '') },
  { name: 'verdict_id', type: 'String', of: command(({ verdictId }) => verdictId, '') },
  {
    name: 'estimated_rows',
    type: 'Int64',
    of: command(({ estimatedRows }) => Math.round(estimatedRows), -1),
  },
  { name: 'use_kind', type: text, of: command<string>(({ use }) => use, 'window') },
  { name: 'is_waiting', type: 'Bool', of: command(({ waiting }) => waiting, false) },
  { name: 'usable_sec', type: 'UInt32', of: ({ approval }) => Math.round(approval.request.usableUs / 1e6) },
  { name: 'usable_until', type: `Nullable(${time})`, of: ({ approval }) => approval.usableUntil || null },
  {
    name: 'quorum',
    type: 'Array(Tuple(Array(String), UInt32))',
    of: ({ approval }) => approval.request.quorum.map(({ groups, count }) => [groups.map(groupText), count]),
  },
  {
    name: 'excludes_delegators',
    type: 'Bool',
    of: ({ approval }) => approval.request.excludesDelegators,
  },
  {
    name: 'answers',
    type: `Array(Tuple(String, String, ${time}, Array(String), String, String))`,
    of: ({ approval }) =>
      approval.answers.map(({ answer, by, at, groups, reason, via }) => [
        ...[answer, by, at, groups],
        ...[reason, via],
      ]),
  },
  {
    name: 'why',
    type: 'String',
    of: ({ approval: { request } }) => (request.kind === 'access' ? request.reason : ''),
  },
  { name: 'expires_at', type: time, of: ({ approval }) => approval.request.deadline },
  { name: 'answered_at', type: `Nullable(${time})`, of: (row) => last(row)?.at ?? null },
  { name: 'answered_by', type: text, of: (row) => last(row)?.by ?? '' },
  { name: 'reason', type: 'String', of: (row) => row.approval.reason || (last(row)?.reason ?? '') },
  {
    name: 'used_at',
    type: `Nullable(${time})`,
    of: ({ approval }) => (approval.state === 'used' ? approval.since : null),
  },
  ...bus<ApprovalRow>(),
  { name: 'version', type: 'UInt64', of: ({ record }) => record.offset },
]

export const approvalsLog: Table<ApprovalRow> = { name: 'approvals_log', columns }
