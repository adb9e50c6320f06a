/**
 * What was pressed in Slack, out of the body of an interaction
 * (https://docs.slack.dev/reference/interaction-payloads/block_actions-payload). Pure. It takes presses of our own buttons
 * alone; who pressed is Slack's word, which the signature stands for, and whether they may is not judged here.
 */
import { z } from 'zod'

export interface Press {
  readonly answer: 'approve' | 'deny'
  /** Of the approval that the message was about when it was made. */
  readonly about: ButtonValue
  /** What was typed beside the buttons; may be empty. */
  readonly reason: string
  readonly userId: string
  /** Workspace of the user; differs from the message's in a channel that two companies share. */
  readonly userTeamId: string
  readonly responseUrl: string
}

export type ButtonValue = z.output<typeof buttonValue>

/** `kind: other`: nothing of ours, such as the press of a link button. */
export type Interaction =
  | { readonly kind: 'press'; readonly press: Press }
  | { readonly kind: 'other' }
  | { readonly kind: 'unreadable'; readonly why: string }

export function readInteraction(body: Buffer): Interaction {
  const payloads = new URLSearchParams(body.toString('utf8')).getAll('payload')
  if (payloads.length !== 1) return { kind: 'unreadable', why: 'there is not one payload' }
  const type = z.object({ type: z.string() }).safeParse(parsed(payloads[0]))
  if (type.success && type.data.type !== 'block_actions') return { kind: 'other' }
  const read = blockActions.safeParse(parsed(payloads[0]))
  if (!read.success)
    return { kind: 'unreadable', why: read.error.issues.map(({ path }) => path.join('.')).join(', ') }
  const { actions, user, team, enterprise, response_url: responseUrl, state } = read.data
  const [action] = actions.filter(({ action_id: id }) => Object.hasOwn(answers, id))
  const answer = action && answers[action.action_id]
  if (!action || answer === undefined) return { kind: 'other' }
  const about = buttonValue.safeParse(parsed(action.value))
  const userTeamId = user.team_id ?? team?.id ?? enterprise?.id
  if (!about.success || userTeamId === undefined || responseUrl === undefined)
    return { kind: 'unreadable', why: 'the button is none that this version makes' }
  const reason = state?.values?.reason?.reason?.value?.trim() ?? ''
  return {
    kind: 'press',
    press: {
      ...{ answer, reason, userTeamId, responseUrl },
      about: about.data,
      userId: user.id,
    },
  }
}

const answers: Readonly<Record<string, Press['answer']>> = {
  'portcullis.approve': 'approve',
  'portcullis.deny': 'deny',
}

const id = z.string().min(1).max(256)
const buttonValue = z.strictObject({ approval: id, digest: id })
const blockActions = z.object({
  user: z.object({ id, team_id: id.optional() }),
  team: z.object({ id }).nullish(),
  enterprise: z.object({ id }).nullish(),
  response_url: z.url().max(2048).optional(),
  actions: z.array(z.object({ action_id: z.string(), value: z.string().max(2000).optional() })).min(1),
  state: z
    .object({
      values: z
        .object({
          reason: z
            .object({ reason: z.object({ value: z.string().max(3000).nullish() }).optional() })
            .optional(),
        })
        .optional(),
    })
    .nullish(),
})

function parsed(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
