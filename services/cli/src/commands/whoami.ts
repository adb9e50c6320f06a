import type { Command } from '../command.ts'
import { shown } from '../errors.ts'
import { gateOf } from '../gate.ts'
import { sourceOptions } from '../proof.ts'
import { table } from '../table.ts'

interface WhoAmI {
  readonly issuer: string
  readonly subject: string
  readonly groups: readonly string[]
  readonly role: string
  readonly scope?: string
  readonly task: string
  readonly delegation: readonly { readonly issuer: string; readonly subject: string }[]
  readonly expiresAt: string | null
}

export const whoami: Command = {
  name: 'whoami',
  summary: 'Who you are at the gate, and what that is good for',
  usage: '[--from SOURCE]',
  example: 'portcullis whoami --json',
  options: sourceOptions,
  async run(call) {
    const { api, proof } = gateOf(call)
    const { token, from } = await proof()
    const who = await api.get<WhoAmI>('/v1/whoami', token)
    const rows: [string, string][] = [
      ['identity', `${who.issuer}|${who.subject}`],
      ['groups', who.groups.join(', ') || '(none)'],
      ['role', who.role || '(none: targets only)'],
      ...(who.scope ? [['limited to', who.scope] as [string, string]] : []),
      ...(who.task ? [['task', who.task] as [string, string]] : []),
      ...who.delegation.map(({ issuer, subject }): [string, string] => [
        'on behalf of',
        `${issuer}|${subject}`,
      ]),
      ['until', who.expiresAt ?? '(no end)'],
      ['proven by', from],
      ['gate', api.url],
    ]
    call.out.result({ ...who, from, url: api.url }, table(rows.map(([key, value]) => [key, shown(value)])))
    return 0
  },
}
