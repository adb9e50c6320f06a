/** Approvals: what waits for a person, and the person's answer. */
import type { Api } from '../api.ts'
import { type Approval, listText, oneText } from '../approval-text.ts'
import { type Call, type Command, textOption, textsOption } from '../command.ts'
import { CliError } from '../errors.ts'
import { gateOf } from '../gate.ts'
import { sourceOptions } from '../proof.ts'

const reasonOptions = { ...sourceOptions, reason: { type: 'string' } } as const

export const approvalsList: Command = {
  name: 'approvals list',
  summary: 'What waits for an answer',
  usage: '[--state STATE]… [--kind command|access] [--target T] [--identity ISSUER|SUBJECT] [--from SOURCE]',
  details: [
    '--state STATE  pending (where nothing is said), approved, denied, withdrawn, used, revoked, expired, or all',
    'Without a role at the gate you see what you asked for yourself.',
  ],
  example: 'portcullis approvals list --state pending --target shop',
  options: {
    ...sourceOptions,
    state: { type: 'string', multiple: true },
    kind: { type: 'string' },
    target: { type: 'string' },
    identity: { type: 'string' },
  },
  run: (call) =>
    listApprovals(call, {
      state: textsOption(call.options, 'state'),
      ...filtersOf(call, ['kind', 'target', 'identity']),
    }),
}

export const approvalsShow: Command = {
  name: 'approvals show',
  summary: 'One of them: the exact statement, who asks, and every answer',
  usage: 'ID [--from SOURCE]',
  example: 'portcullis approvals show 01M8CEH872ZFQG42R85K7K9Z45',
  options: sourceOptions,
  words: [1, 1],
  async run(call) {
    const { api, proof } = gateOf(call)
    const approval = await get(api, (await proof()).token, call)
    call.out.result(approval, oneText(approval))
    return 0
  },
}

export const approvalsApprove = answering('approve')
export const approvalsDeny = answering('deny')

function answering(answer: 'approve' | 'deny'): Command {
  return {
    name: `approvals ${answer}`,
    summary: answer === 'approve' ? 'Let it pass' : 'Refuse it',
    usage: 'ID [--reason WHY] [--from SOURCE]',
    details: [
      'Shows what it is about, and answers that and nothing else. Whoever asks, or has it asked, cannot answer.',
      'The same answer again is no error.',
    ],
    example: `portcullis approvals ${answer} 01M8CEH872ZFQG42R85K7K9Z45 --reason "CHG-4711"`,
    options: reasonOptions,
    words: [1, 1],
    async run(call) {
      const { api, proof } = gateOf(call)
      const { token } = await proof()
      const asked = await get(api, token, call)
      call.out.remark(oneText(asked))
      const given = { answer, digest: asked.digest, reason: textOption(call.options, 'reason') ?? '' }
      const path = `/v1/approvals/${encodeURIComponent(asked.approvalId)}/answers`
      const now = await api.post<Approval>(path, token, given)
      const text =
        answer === 'approve' && now.state === 'pending'
          ? `${now.approvalId}: your approval counts; more people must approve`
          : `${now.approvalId}: ${now.state}`
      call.out.result(now, text)
      return 0
    },
  }
}

export const approvalsRevoke: Command = {
  name: 'approvals revoke',
  summary: 'End what was approved before its time',
  usage: 'ID --reason WHY [--from SOURCE]',
  details: ['Access that was given, or a command that has not run yet. Sessions that rest on it end.'],
  example: 'portcullis approvals revoke 01M8CEH872ZFQG42R85K7K9Z45 --reason "the work is done"',
  options: reasonOptions,
  words: [1, 1],
  run: revokeApproval,
}

/** Also what `grants list` and `grants revoke` do. */
export async function listApprovals(
  call: Call,
  filters: Readonly<Record<string, string | readonly string[] | undefined>>,
): Promise<number> {
  const { api, proof } = gateOf(call)
  const query = new URLSearchParams({ limit: '200' })
  for (const [name, value] of Object.entries(filters))
    for (const one of [value ?? []].flat()) query.append(name, one)
  const page = await api.get<{ items: readonly Approval[]; nextCursor: string | null }>(
    `/v1/approvals?${query}`,
    (await proof()).token,
  )
  call.out.result(page, page.items.length === 0 ? 'There is none.' : listText(page.items, Date.now()))
  if (page.nextCursor !== null) call.out.remark('There are more; narrow it, or use --json and the API.')
  return 0
}

export async function revokeApproval(call: Call): Promise<number> {
  const reason = textOption(call.options, 'reason')
  if (!reason) throw new CliError('usage', 'why is not said', 'give --reason WHY: it is kept in the trail')
  const { api, proof } = gateOf(call)
  const id = call.words[0] ?? ''
  const path = `/v1/approvals/${encodeURIComponent(id)}/revoke`
  const now = await api.post<Approval>(path, (await proof()).token, { reason })
  call.out.result(now, `${now.approvalId}: ${now.state}`)
  return 0
}

export function filtersOf({ options }: Call, names: readonly string[]): Record<string, string | undefined> {
  return Object.fromEntries(names.map((name) => [name, textOption(options, name)]))
}

function get(api: Api, token: string, { words: [id = ''] }: Call): Promise<Approval> {
  return api.get<Approval>(`/v1/approvals/${encodeURIComponent(id)}`, token)
}
