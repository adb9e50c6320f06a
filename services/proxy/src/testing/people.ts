/**
 * People who approve, for tests of the gate: a real bus in a folder, the agent's real parts about it, and answers written to
 * the log as the API writes them.
 */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Approval, type Started, standingOf, systemClock } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { type ControlLog, startControlLog } from '@portcullis/platform/control'
import { followAgent } from '../agent/client.ts'
import { startControlParts } from '../agent/control.ts'
import { noWorkerHoldings } from '../agent/protocol.ts'
import { topicSpecs } from '../agent/topics.ts'
import { createApprovalBook } from '../approval-book.ts'
import type { ApprovalSettings } from '../approval-terms.ts'
import { createHolds, type Holds } from '../holds.ts'
import { createIds } from '../ids.ts'
import { until } from './until.ts'

export interface People {
  readonly holds: Holds
  readonly settings: { -readonly [K in keyof ApprovalSettings]: ApprovalSettings[K] }
  readonly log: ControlLog
  all(): readonly Approval[]
  pending(): readonly Approval[]
  /** What is pending of this subject, once there is something. */
  asked(subject: string): Promise<Approval>
  answer(approval: Approval, answer?: 'approve' | 'deny', by?: string): Promise<unknown>
  /** From then on nothing reaches the log. */
  cutBus(isCut: boolean): void
}

const quiet = { info() {}, warn() {}, error() {}, debug() {} }

export async function startPeople(
  limits = { pendingPerIdentityMax: 5, pendingPerTargetMax: 8 },
): Promise<Started<People>> {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-people-'))
  const clock = systemClock
  const ids = createIds(clock)
  const codecs = createCodecs()
  const bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: quiet })
  await bus.value.ensureTopics(topicSpecs({ partitions: 1, retentionDays: 1 }))
  let isCut = false
  const socketPath = join(dir, 'agent.sock')
  const control = await startControlParts({
    ...{ clock, codecs, ids, name: 'bed', limits, socketPath, log: quiet },
    publish: (records) => (isCut ? Promise.reject(new Error('cut')) : bus.value.publish(records)),
    dir: join(dir, 'control'),
    forWorkers: () => noWorkerHoldings,
    onWorkers: () => undefined,
  })
  await control.value.attach(bus.value)
  const book = createApprovalBook(clock)
  let isFresh = false
  const line = followAgent({
    socketPath,
    onState: () => undefined,
    onApprovals: (set, all) => book.take(set, all),
    onDefined: () => undefined,
    onMissed: () => undefined,
    onFresh: (atUs) => {
      isFresh ||= atUs > 0
    },
  })
  const log = await startControlLog({ bus: bus.value, codecs, clock, ids: randomUUID })
  const settings: People['settings'] = {
    ...{ link: 'https://gate.example/', groups: ['*'], delegatorsMay: false, perInstance: false },
    ...{ answerSec: 60, usableSec: 60, waitSec: 30, waitInTransactionSec: 1, noticeSec: 30 },
  }
  const all = () => Array.from(log.value.state().approvals.values())
  const pending = () => all().filter((one) => standingOf(one, clock.nowUs()) === 'pending')
  await until(() => isFresh && log.value.caughtUp() && control.value.isFresh())
  return {
    value: {
      holds: createHolds({ settings, book, line: line.value, clock, ids, onSettled: () => undefined }),
      settings,
      log: log.value,
      all,
      pending,
      async asked(subject) {
        const its = () => pending().find(({ request }) => request.identity.subject === subject)
        await until(() => its() !== undefined)
        return its() as Approval
      },
      answer: ({ approvalId, request }, answer = 'approve', by = 'dana') =>
        log.value.write(
          {
            type: 'approval.answered',
            ...{ approvalId, digest: request.digest, answer, via: 'api' },
            ...{ reason: 'as agreed', groups: ['dba'], delegation: [] },
          },
          { issuer: 'https://idp.test', subject: by, roles: ['approver'] },
        ),
      cutBus: (cut) => {
        isCut = cut
      },
    },
    async stop() {
      await line.stop()
      await control.stop()
      await log.stop()
      await bus.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
