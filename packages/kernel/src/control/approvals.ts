/** Approvals in the control log: what each change carries, and the fold over those that are not over yet. */
import type { Actor, Identity } from '../events.gen.ts'
import type { GroupRef } from '../identity.ts'
import type { Aggregate, Rejection } from './aggregate.ts'
import {
  type Approval,
  type ApprovalChange,
  type ApprovalRequest,
  evolve,
  objectionTo,
  overBy,
  type Quorum,
  requested,
} from './approval.ts'
import { type Fields, fieldReader, type FieldReader, idCharsMax, isFields, textCharsMax } from './fields.ts'

export interface ApprovalParts {
  /** By id. Those that are over, whoever's clock counts, are let go after a while. */
  readonly approvals: Map<string, Approval>
}

/** The aggregate that changes to an approval are written under. */
export function approvalAggregate(approvalId: string): string {
  return `approval/${approvalId}`
}

/** Characters of a statement that can be approved: what does not fit a person cannot see. */
export const statementCharsMax = 65_536
/** People that an approval may need. */
export const approversMax = 16
const quorumsMax = 16
const groupsMax = 64
const valuesMax = 1000
const valueCharsMax = 1024

const readId = (read: FieldReader) => read.text('approvalId', 1, 128)
const readEnding = (read: FieldReader) => ({
  approvalId: readId(read),
  reason: read.text('reason', 0, textCharsMax),
})

export const approvalControl: Aggregate<ApprovalChange, ApprovalParts> = {
  readers: {
    'approval.requested': (read, problems) => ({
      type: 'approval.requested',
      approvalId: readId(read),
      request: readRequest(read.object('request'), problems),
    }),
    'approval.answered': (read) => ({
      type: 'approval.answered',
      ...readEnding(read),
      digest: readDigest(read),
      answer: read.oneOf('answer', ['deny', 'approve']),
      groups: read.texts('groups', 1000, idCharsMax),
      delegation: read.texts('delegation', 64, 2 * idCharsMax),
      via: read.text('via', 1, 32),
    }),
    'approval.used': (read) => ({
      type: 'approval.used',
      approvalId: readId(read),
      digest: readDigest(read),
      commandId: read.text('commandId', 1, idCharsMax),
    }),
    'approval.withdrawn': (read) => ({ type: 'approval.withdrawn', ...readEnding(read) }),
    'approval.revoked': (read) => ({ type: 'approval.revoked', ...readEnding(read) }),
  },
  idOf: ({ approvalId }) => approvalAggregate(approvalId),
  apply(state, change, { at, by, version }) {
    const { approvalId } = change
    if (change.type === 'approval.requested') {
      if (version > 0) return { code: 'exists', why: `approval ${approvalId} was asked for before` }
      state.approvals.set(approvalId, requested(approvalId, change.request, { at, by }))
      return undefined
    }
    const approval = state.approvals.get(approvalId)
    if (!approval)
      return { code: 'not_found', why: `there is no approval ${approvalId}, or it has long been over` }
    const objection = objectionTo(approval, change, { at, by })
    if (objection) return named(approvalId, objection)
    state.approvals.set(approvalId, evolve(approval, change, { at, by }))
    return undefined
  },
}

/** Lets go of those of which nothing can come after `beforeUs`; returns their ids. */
export function pruneApprovals({ approvals }: ApprovalParts, beforeUs: number): string[] {
  const over = Array.from(approvals.values())
    .filter((approval) => overBy(approval) < beforeUs)
    .map(({ approvalId }) => approvalId)
  for (const id of over) approvals.delete(id)
  return over
}

function named(approvalId: string, { code, why }: Rejection): Rejection {
  return { code, why: `approval ${approvalId}: ${why}` }
}

function readDigest(read: FieldReader): string {
  const digest = read.text('digest', 64, 64)
  if (!/^[0-9a-f]*$/.test(digest)) read.problem('digest', '64 hex digits')
  return digest
}

function readRequest(fields: Fields, problems: string[]): ApprovalRequest {
  const read = fieldReader(fields, 'request.', problems)
  const parts = {
    digest: readDigest(read),
    identity: readIdentity(read.object('identity'), problems),
    target: read.text('target', 1, idCharsMax),
    role: read.text('role', 0, idCharsMax),
    quorum: readQuorum(read, fields, problems),
    excludesDelegators: read.flag('excludesDelegators'),
    deadline: read.micros('deadline'),
    usableUs: readDuration(read),
  }
  if (read.oneOf('kind', ['command', 'access']) === 'access')
    return { kind: 'access', ...parts, reason: read.text('reason', 0, textCharsMax) }
  return {
    kind: 'command',
    ...parts,
    use: read.oneOf('use', ['once', 'window']),
    waiting: read.flag('waiting'),
    protocol: read.text('protocol', 1, 64),
    database: read.text('database', 0, idCharsMax),
    sessionId: read.text('sessionId', 1, idCharsMax),
    statement: read.text('statement', 0, statementCharsMax),
    fingerprint: read.text('fingerprint', 0, idCharsMax),
    values: read.texts('values', valuesMax, valueCharsMax),
    policyVersion: read.text('policyVersion', 0, idCharsMax),
    rule: read.text('rule', 0, idCharsMax),
    verdictId: read.text('verdictId', 0, idCharsMax),
    estimatedRows: readEstimate(read, fields),
  }
}

function readDuration(read: FieldReader): number {
  const us = read.amount('usableUs')
  if (!Number.isSafeInteger(us) || us === 0) read.problem('usableUs', 'microseconds, a whole number above 0')
  return us
}

function readEstimate(read: FieldReader, fields: Fields): number {
  return fields.estimatedRows === -1 ? -1 : read.amount('estimatedRows')
}

function readIdentity(fields: Fields, problems: string[]): Identity {
  const read = fieldReader(fields, 'request.identity.', problems)
  return {
    issuer: read.text('issuer', 1, idCharsMax),
    subject: read.text('subject', 1, idCharsMax),
    groups: [...read.texts('groups', 1000, idCharsMax)],
    delegation: readList(read, fields, 'delegation', 64, (one, index) => {
      const actor = fieldReader(one, `request.identity.delegation[${index}].`, problems)
      return {
        issuer: actor.text('issuer', 0, idCharsMax),
        subject: actor.text('subject', 1, idCharsMax),
        kind: actor.text('kind', 0, 64),
      } satisfies Actor
    }),
    instance: read.text('instance', 0, idCharsMax),
    task: read.text('task', 0, textCharsMax),
    ancestors: [...read.texts('ancestors', 64, 2 * idCharsMax)],
  }
}

function readQuorum(read: FieldReader, fields: Fields, problems: string[]): readonly Quorum[] {
  const quorum = readList(read, fields, 'quorum', quorumsMax, (one, index) => {
    const place = fieldReader(one, `request.quorum[${index}].`, problems)
    const groups = readGroups(place, one)
    if (groups.length === 0) place.problem('groups', 'at least one group')
    const count = place.amount('count')
    if (!Number.isInteger(count) || count < 1) place.problem('count', 'a whole number of at least 1')
    return { groups, count }
  })
  const people = quorum.reduce((sum, { count }) => sum + count, 0)
  if (people < 1 || people > approversMax)
    read.problem('quorum', `1 to ${approversMax} people, all counts together`)
  return quorum
}

/** Each a name, or `{ issuer, group }`. */
function readGroups(read: FieldReader, fields: Fields): readonly GroupRef[] {
  const value = fields.groups
  const fits = (text: unknown): text is string =>
    typeof text === 'string' && text.length > 0 && text.length <= idCharsMax
  const all = Array.isArray(value) && value.length <= groupsMax ? value : [undefined]
  return all.map((one: unknown) => {
    if (fits(one)) return one
    if (isFields(one) && fits(one.issuer) && fits(one.group)) return { issuer: one.issuer, group: one.group }
    read.problem('groups', `a list of at most ${groupsMax} groups, each a name or { issuer, group }`)
    return ''
  })
}

function readList<T>(
  read: FieldReader,
  fields: Fields,
  name: string,
  countMax: number,
  one: (fields: Fields, index: number) => T,
): T[] {
  const value = fields[name]
  if (Array.isArray(value) && value.length <= countMax && value.every(isFields)) return value.map(one)
  read.problem(name, `a list of at most ${countMax} objects`)
  return []
}
