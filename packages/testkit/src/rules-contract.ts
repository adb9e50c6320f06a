/**
 * One policy, every door: what each action of a rule must come to through any protocol and any client of it, registered as
 * node:test tests over a door that the caller opens. It knows no protocol: what a client can do at a target it asks for by
 * deed, and rules here read only what every protocol has (effects, privilege, identity, origin, session).
 */
import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import type { CommandResult, Decision } from '@portcullis/kernel'

/**
 * What a client is to do. read: a few things that are there, `secret` among their fields; readMany: ten of them; write: a
 * change that shows in `state`; destroy: takes a thing away that shows in `state`; unreadable: what the gate cannot read
 * and the target would do.
 */
export type Deed = 'read' | 'readMany' | 'write' | 'destroy' | 'unreadable'

export interface Answer {
  /** All that the client was shown, as text. */
  readonly shown: string
  /** Things (rows, items) that came. */
  readonly count: number
  readonly refused?: {
    readonly reason: string
    readonly decisionId: string
    /** Of the approval that a held command waits for, where it has one. */
    readonly approvalId: string
    /** Empty where none is told. */
    readonly rule: string
    /** The protocol's own: SQLSTATE, HTTP status, exit status. */
    readonly code: string
  }
}

export interface RulesClient {
  run(deed: Deed): Promise<Answer>
  /** Where the protocol has it: several in one message, which pass or are refused together. */
  runTogether?(deeds: readonly Deed[]): Promise<Answer>
  /** Where the protocol has it: made ready now, run later. */
  prepare?(deed: Deed): Promise<() => Promise<Answer>>
  close(): Promise<void>
}

export interface RecordedCommand {
  readonly decision: Decision
  readonly attributes: Readonly<Record<string, string>>
  readonly result: CommandResult | undefined
}

export interface RulesPlace {
  /** In force from now on, for sessions that are open too; YAML. */
  rule(policy: string | undefined): void
  /** A verdict on this subject, or none. */
  judge(subject: string, action: 'block' | undefined): void
  /** False: nothing can be recorded any more. */
  record(possible: boolean): void
  /** A person says yes, and the gate knows. */
  approve(approvalId: string): Promise<void>
  connect(subject: string): Promise<RulesClient>
  /** Since the last call, in order. */
  recorded(): readonly RecordedCommand[]
  /** What is at the target, asked beside the gate. */
  state(): Promise<string>
  /** As a mask rule names it: the field `secret` of what `read` reads. */
  readonly secretColumn: string
  /** What `secret` holds: a string that stands nowhere else. */
  readonly secret: string
  /** Of a refusal by a rule, a verdict or for want of recording. */
  readonly refusedCode: string
}

const allowAll = '{ name: all, action: allow }'
const isRead = `command.effects.all(e, e == "read")`

/** What the door's client can do besides one deed at a time. */
export interface RulesClientHas {
  readonly runTogether?: boolean
  readonly prepare?: boolean
}

export function rulesContract(name: string, open: () => Promise<RulesPlace>, has: RulesClientHas = {}): void {
  suite(`rules: ${name}`, () => {
    let place: RulesPlace
    let client: RulesClient
    let initially: string
    before(async () => {
      place = await open()
      client = await place.connect('ann')
      initially = await place.state()
    })
    after(() => client?.close())
    beforeEach(() => {
      place.judge('ann', undefined)
      place.record(true)
      place.recorded()
    })

    const rule = (...rules: readonly string[]) =>
      place.rule(`rules:\n${rules.map((one) => `  - ${one}`).join('\n')}`)

    async function isRefused(deed: Deed, reason: RegExp | string, by = '', from = client): Promise<Decision> {
      place.recorded()
      return refusal(await from.run(deed), reason, by)
    }

    async function refusal(answer: Answer, reason: RegExp | string, by: string): Promise<Decision> {
      const { refused } = answer
      assert.ok(refused, `let through, and showed ${answer.shown}`)
      assert.match(refused.reason, typeof reason === 'string' ? new RegExp(`^${reason}$`) : reason)
      assert.equal(refused.code, place.refusedCode)
      if (by !== '') assert.equal(refused.rule, by)
      assert.ok(!answer.shown.includes(place.secret))
      const told = place.recorded().find(({ decision }) => decision.id === refused.decisionId)
      assert.ok(told, 'no event has the decision that the client was told')
      assert.equal(told.result?.outcome, 'refused')
      assert.deepEqual([told.decision.reason, told.decision.enforced], [refused.reason, true])
      assert.equal(await place.state(), initially, 'the target did it all the same')
      return told.decision
    }

    async function passes(deed: Deed, from = client): Promise<RecordedCommand> {
      place.recorded()
      const answer = await from.run(deed)
      assert.equal(answer.refused, undefined, JSON.stringify(answer.refused))
      const told = place.recorded().filter(({ result }) => result?.stage === 'run')
      assert.equal(told.length, 1, 'one command for one deed')
      assert.equal(told[0]?.result?.outcome, 'ok')
      return told[0] as RecordedCommand
    }

    test('allow: passes, and the event names the rule and the version of the rules', async () => {
      rule(`{ name: reads, when: '${isRead}', action: allow }`)
      const { decision } = await passes('read')
      assert.deepEqual([decision.action, decision.rule, decision.enforced], ['allow', 'reads', true])
      assert.match(decision.policyVersion, /\.[0-9a-f]{12}$/)
    })

    test('what no rule allows is refused, and what cannot be read with it', async () => {
      rule(`{ name: reads, when: '${isRead}', action: allow }`)
      for (const deed of ['write', 'destroy', 'unreadable'] as const) await isRefused(deed, 'policy_default')
    })

    test('block and hold: by name, whatever else allows it, in any order', async () => {
      const block = `{ name: no-loss, when: '"delete" in command.effects', action: block }`
      const hold = `{ name: ask-first, when: '"write" in command.effects || "delete" in command.effects', action: hold }`
      for (const rules of [
        [allowAll, hold, block],
        [block, hold, allowAll],
      ]) {
        rule(...rules)
        await isRefused('destroy', 'policy_block', 'no-loss')
        const held = await isRefused('write', 'approval_pending', 'ask-first')
        assert.equal(held.action, 'hold')
        await passes('read')
      }
    })

    test('held: refused with an approval, and once a person has said yes the very same passes, once', async () => {
      rule(allowAll, `{ name: ask-first, when: '"write" in command.effects', action: hold }`)
      const { refused } = await client.run('write')
      assert.equal(refused?.reason, 'approval_pending')
      const { approvalId } = refused
      assert.notEqual(approvalId, '')
      await place.approve(approvalId)
      const { decision } = await passes('write')
      assert.equal(decision.approvalId, approvalId)
      initially = await place.state()
      await isRefused('write', 'approval_pending', 'ask-first')
    })

    test('what cannot be known makes a rule hold, and no rule allow', async () => {
      rule(allowAll, `{ name: abroad, match: { countries: [XX] }, action: block }`)
      await isRefused('read', 'policy_block', 'abroad')
      rule(`{ name: at-home, match: { countries: [XX] }, action: allow }`)
      await isRefused('read', 'policy_default')
      rule(allowAll, `{ name: exports, when: '"export" in command.effects', action: block }`)
      await isRefused('unreadable', 'policy_block', 'exports')
      await passes('read')
    })

    test('privilege is taken for granted where it cannot be read', async () => {
      rule(allowAll, `{ name: power, when: command.privileged, action: block }`)
      await isRefused('unreadable', 'policy_block', 'power')
      await passes('write')
      initially = await place.state()
    })

    test('whom a rule is for', async () => {
      rule(allowAll, '{ name: not-bob, match: { subjects: [bob] }, action: block }')
      const bob = await place.connect('bob')
      try {
        await isRefused('read', 'policy_block', 'not-bob', bob)
        await passes('read')
      } finally {
        await bob.close()
      }
    })

    test('cap: the client gets so many and no more, and is told by which rule', async () => {
      rule(allowAll, `{ name: few, when: '${isRead}', action: cap, cap: { rowsPerStatement: 3 } }`)
      const answer = await client.run('readMany')
      assert.ok(answer.count <= 3, `${answer.count} came`)
      assert.deepEqual([answer.refused?.reason, answer.refused?.rule], ['cap_rows_statement', 'few'])
      const [told] = place.recorded()
      assert.equal(told?.result?.outcome, 'cut')
      assert.ok((told?.result?.rowsOut ?? 99) <= 3)
      rule(allowAll)
      assert.equal((await client.run('readMany')).count, 10)
    })

    test('mask: the field is there, what is in it is not, and the event says what was masked', async () => {
      const hidden = `{ name: hidden, action: mask, mask: { columns: ['${place.secretColumn}'] } }`
      rule(allowAll)
      assert.ok((await client.run('read')).shown.includes(place.secret), 'in clear where no rule masks it')
      rule(allowAll, hidden)
      place.recorded()
      const answer = await client.run('read')
      assert.equal(answer.refused, undefined)
      assert.ok(answer.count > 0 && !answer.shown.includes(place.secret), answer.shown)
      const told = place.recorded().at(-1)
      assert.ok((told?.result?.masked ?? []).some(({ values }) => values > 0))
      rule(allowAll, hidden.replace('action', 'observe: true, action'))
      assert.ok((await client.run('read')).shown.includes(place.secret), 'not where the rule only observes')
      rule(allowAll, hidden.replace('action', 'match: { subjects: [bob] }, action'))
      assert.ok((await client.run('read')).shown.includes(place.secret), 'and not for others')
    })

    test('alert: passes, and stands on the event', async () => {
      rule(allowAll, `{ name: watch, when: '${isRead}', alert: warning }`)
      const { attributes } = await passes('read')
      assert.match(attributes['policy.alerts'] ?? '', /"watch".*"warning"/)
    })

    test('observe: passes, and the event says what would have become of it', async () => {
      rule(allowAll, `{ name: one-day, when: '${isRead}', action: block, observe: true }`)
      const { decision } = await passes('read')
      assert.deepEqual(
        [decision.action, decision.rule, decision.reason, decision.enforced],
        ['block', 'one-day', 'policy_block', false],
      )
    })

    test('what a rule read stands on the event', async () => {
      rule(allowAll, `{ name: enough, when: 'session.commands > 1000000', action: block }`)
      const { attributes } = await passes('read')
      assert.match(attributes['session.commands'] ?? '', /^\d+$/)
    })

    test('other rules hold from the next command of a session that is open, each event naming its own', async () => {
      rule(allowAll)
      const first = (await passes('read')).decision.policyVersion
      rule(allowAll, '{ name: closed, action: block }')
      const second = (await isRefused('read', 'policy_block', 'closed')).policyVersion
      rule(allowAll)
      const third = (await passes('read')).decision.policyVersion
      assert.notEqual(first, second)
      assert.equal(first, third)
    })

    test('a verdict stops the next command of an open session, before any rule, and goes', async () => {
      rule(allowAll)
      await passes('read')
      place.judge('ann', 'block')
      await isRefused('read', 'verdict_block')
      place.judge('ann', undefined)
      await passes('read')
    })

    test('what cannot be recorded does not run', async () => {
      rule(allowAll)
      place.record(false)
      const answer = await client.run('destroy')
      assert.equal(answer.refused?.reason, 'recording_unavailable')
      assert.equal(await place.state(), initially)
      place.record(true)
      await passes('read')
    })

    if (has.runTogether)
      test('what comes together is refused together', async () => {
        assert.ok(client.runTogether)
        rule(allowAll, `{ name: no-loss, when: '"delete" in command.effects', action: block }`)
        for (const deeds of [
          ['write', 'destroy'],
          ['destroy', 'write'],
        ] as const) {
          place.recorded()
          await refusal(await client.runTogether(deeds), 'policy_block', 'no-loss')
        }
      })

    if (has.prepare)
      test('what was made ready before is decided when it runs', async () => {
        assert.ok(client.prepare)
        rule(allowAll)
        const destroy = await client.prepare('destroy')
        const read = await client.prepare('read')
        rule(allowAll, `{ name: no-loss, when: '"delete" in command.effects', action: block }`)
        place.recorded()
        await refusal(await destroy(), 'policy_block', 'no-loss')
        assert.equal((await read()).refused, undefined)
      })

    test('where there are no rules any more, everything passes', async () => {
      place.rule(undefined)
      const { decision } = await passes('destroy')
      assert.deepEqual([decision.action, decision.rule], ['allow', ''])
      assert.notEqual(await place.state(), initially, 'the deed would have shown')
    })
  })
}
