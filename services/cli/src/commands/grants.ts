/** Grants: a target, in a role, for a while; asked for, and given by people as any approval is. */
import type { Approval } from '../approval-text.ts'
import { type Command, textOption } from '../command.ts'
import { CliError } from '../errors.ts'
import { gateOf } from '../gate.ts'
import { sourceOptions } from '../proof.ts'
import { filtersOf, listApprovals, revokeApproval } from './approvals.ts'
import { secondsOption } from './token.ts'

const lifeSecDefault = 3600

export const grantsRequest: Command = {
  name: 'grants request',
  summary: 'Ask for access to a target for a while',
  usage: 'TARGET --reason WHY [--role R] [--life SEC] [--from SOURCE]',
  details: [
    `--life SEC  for how long, from the approval on; ${lifeSecDefault} where nothing is said`,
    'Prints the approval that people have to answer; approvals show ID says what became of it.',
  ],
  example: 'portcullis grants request shop --role report --life 1800 --reason "CHG-4711"',
  options: {
    ...sourceOptions,
    role: { type: 'string' },
    life: { type: 'string' },
    reason: { type: 'string' },
  },
  words: [1, 1],
  async run(call) {
    const { options, words, out } = call
    const reason = textOption(options, 'reason')
    if (!reason)
      throw new CliError('usage', 'what for is not said', 'give --reason WHY: whoever approves reads it')
    const durationSec = secondsOption(options, 'life') ?? lifeSecDefault
    const { api, proof } = gateOf(call)
    const role = textOption(options, 'role') ?? ''
    const asked = { target: words[0] ?? '', role, durationSec, reason }
    const approval = await api.post<Approval>('/v1/grants', (await proof()).token, asked)
    out.result(approval, `${approval.approvalId}: ${approval.state}`)
    return 0
  },
}

export const grantsList: Command = {
  name: 'grants list',
  summary: 'Access that is in force',
  usage: '[--target T] [--identity ISSUER|SUBJECT] [--from SOURCE]',
  details: ['What is still asked for: approvals list --kind access.'],
  example: 'portcullis grants list --target shop',
  options: { ...sourceOptions, target: { type: 'string' }, identity: { type: 'string' } },
  run: (call) =>
    listApprovals(call, { kind: 'access', state: 'approved', ...filtersOf(call, ['target', 'identity']) }),
}

export const grantsRevoke: Command = {
  name: 'grants revoke',
  summary: 'End access before its time, and the sessions that rest on it',
  usage: 'ID --reason WHY [--from SOURCE]',
  example: 'portcullis grants revoke 01M8CEH872ZFQG42R85K7K9Z45 --reason "the work is done"',
  options: { ...sourceOptions, reason: { type: 'string' } },
  words: [1, 1],
  run: revokeApproval,
}
