/**
 * Acts as the command events a proxy would have recorded. The recorder's id begins with `simulator-`, so that whoever
 * reads the trail sees that no gate stood behind them.
 */
import type { CommandEvent, Decision } from '@portcullis/kernel'
import type { Act, Agent } from './agents.ts'

export interface RecorderOptions {
  /** Distinguishes recorders; prefixed with `simulator-`. */
  readonly name: string
  readonly issuer: string
  readonly target: string
  readonly database: string
  /** Link.hash of an event whose `prevHash` is filled in (platform's linkHash); zero bytes where absent. */
  hash?(prevHash: Uint8Array, event: CommandEvent): Uint8Array
}

export interface SimulatedRecorder {
  readonly id: string
  /** The next event of this recorder's chain. */
  record(agent: Pick<Agent, 'subject' | 'groups'>, act: Act, over?: Partial<CommandEvent>): CommandEvent
}

export const allowed: Decision = {
  id: '',
  action: 'allow',
  reason: '',
  rule: '',
  verdictId: '',
  approvalId: '',
  policyVersion: 'simulated',
  enforced: true,
  delayUs: 0,
}

export function simulatedRecorder(options: RecorderOptions): SimulatedRecorder {
  const id = `simulator-${options.name}`
  const commands = new Map<string, number>()
  let seq = 0
  let prevHash: Uint8Array = Buffer.alloc(32)
  return {
    id,
    record({ subject, groups }, act, over = {}) {
      seq++
      const sessionId = `${id}-${subject}-${act.session}`.replaceAll('/', '-')
      const number = (commands.get(sessionId) ?? 0) + 1
      commands.set(sessionId, number)
      const { statement } = act
      const unsealed: CommandEvent = {
        eventId: `${id}.${seq}`,
        commandId: `${sessionId}.${number}`,
        phase: 'finished',
        sessionId,
        link: { recorder: id, seq, prevHash, hash: Buffer.alloc(32) },
        identity: {
          issuer: options.issuer,
          subject,
          groups,
          delegation: [],
          instance: `${subject}#${act.session}`,
          task: '',
          ancestors: [],
        },
        target: options.target,
        role: '',
        database: options.database,
        protocol: 'postgres',
        origin: act.origin,
        stage: 'run',
        text: statement.text,
        textBytes: statement.text.length,
        fingerprint: statement.fingerprint,
        verb: statement.verb,
        effects: statement.effects,
        objects: statement.objects,
        privileged: statement.privileged,
        decision: { ...allowed, id: `d-${id}.${seq}` },
        attributes: {},
        outcome: 'ok',
        errorCode: '',
        tag: statement.verb === 'SELECT' ? `SELECT ${act.rows}` : statement.verb,
        rowsIn: 0,
        rowsOut: act.rows,
        rowsAffected: act.rows,
        bytesIn: statement.text.length + 6,
        bytesOut: act.bytes,
        masked: [],
        startedAt: act.at,
        durationUs: act.durationUs,
        proxy: { name: 'simulator', version: '0' },
        ...over,
      }
      const hash = options.hash?.(prevHash, unsealed) ?? unsealed.link.hash
      prevHash = hash
      return { ...unsealed, link: { ...unsealed.link, hash } }
    },
  }
}

/** The history of several agents, merged in the order in which their commands finished. */
export function* historyOf(
  agents: readonly Agent[],
  recorder: SimulatedRecorder,
  fromUs: number,
  toUs: number,
): Generator<CommandEvent> {
  const lives = agents.map((agent) => ({ agent, acts: agent.acts(fromUs, toUs) }))
  const heads = lives.map(({ acts }) => acts.next())
  for (;;) {
    let earliest = -1
    let earliestAt = Number.POSITIVE_INFINITY
    for (const [index, head] of heads.entries()) {
      if (head.done || head.value.at >= earliestAt) continue
      earliest = index
      earliestAt = head.value.at
    }
    const life = lives[earliest]
    const head = heads[earliest]
    if (!life || !head || head.done) return
    yield recorder.record(life.agent, head.value)
    heads[earliest] = life.acts.next()
  }
}
