/**
 * For tests: two replicas of the API over one real bus, people who are whoever their token says, and commands that wait as a
 * proxy would have them wait.
 */
import { createHash, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type Bus,
  type CommandRequest,
  type Identity,
  type Started,
  systemClock,
  topics,
} from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { type ControlLog, startControlLog } from '@portcullis/platform/control'
import { createLog } from '@portcullis/platform/service'
import type { FastifyInstance } from 'fastify'
import { startInstance, type InstanceOptions } from '../test-api.ts'
import { testProver } from '../test-own-tokens.ts'
import { createTrail } from '../trail.ts'

export const issuer = 'https://idp.example'

export interface ApprovalsBed {
  readonly bus: Bus
  readonly app: FastifyInstance
  readonly other: FastifyInstance
  /** As a proxy has it. */
  readonly control: ControlLog
  /** Holds a command; its approval's id. */
  hold(more?: Partial<CommandRequest>): Promise<string>
  ask(
    token: string,
    method: 'GET' | 'POST',
    url: string,
    payload?: object,
    app?: FastifyInstance,
  ): Promise<{ status: number; body: Body }>
}
// What came over the wire; tests assert on what they expect to find.
type Body = ReturnType<typeof JSON.parse>

/** `ann:dba,oncall` is Ann in these groups; `bot:agents:ann` one of hers. */
export function identityOf(token: string): Identity {
  const [subject = '', groups = '', ...delegation] = token.split(':')
  return {
    ...{ issuer, subject, groups: groups.split(',').filter(Boolean), instance: `${subject}-1`, task: '' },
    delegation: delegation.map((one) => ({ issuer, subject: one, kind: 'person' })),
    ancestors: [],
  }
}

/** `more`: of each replica. */
export async function startApprovalsBed(
  more: () => Partial<InstanceOptions> = () => ({}),
): Promise<Started<ApprovalsBed>> {
  const log = createLog({ service: 'test', level: 'silent' })
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-approvals-'))
  const bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: log })
  await bus.value.ensureTopics(
    Object.values(topics).map((topic) => ({ topic, partitions: 1, cleanup: 'delete', retentionMs: -1 })),
  )
  const codecs = createCodecs()
  const control = await startControlLog({
    ...{ bus: bus.value, codecs, clock: systemClock, ids: randomUUID },
  })
  const prover = {
    ...testProver(),
    prove: async (token: string) => ({
      ...{ identity: identityOf(token), tokenId: token, scope: {} },
      expiresAtUs: systemClock.nowUs() + 3600e6,
    }),
  }
  const start = () => {
    const trail = createTrail({ store: { query: async () => [] }, nowUs: systemClock.nowUs })
    const roles = { dba: 'approver', lead: 'approver', oncall: 'responder', staff: 'viewer' } as const
    return startInstance(bus.value, trail, { prover, roles, peopleIssuers: new Set([issuer]), ...more() })
  }
  const [first, second] = [await start(), await start()]

  async function hold(given: Partial<CommandRequest> = {}): Promise<string> {
    const approvalId = randomUUID()
    const request = heldCommand(given)
    const proxy = { issuer: 'portcullis', subject: 'gate-1', roles: [] }
    await control.value.write({ type: 'approval.requested', approvalId, request }, proxy)
    const deadline = Date.now() + 10_000
    for (const app of [first, second])
      while (
        (await ask('s:staff', 'GET', `/v1/approvals/${approvalId}`, undefined, app.value)).status !== 200
      ) {
        if (Date.now() > deadline) throw new Error('a replica does not see what the log has')
        // Asked without a pause, it would get no turn to read.
        await delay(5)
      }
    return approvalId
  }

  const ask: ApprovalsBed['ask'] = async (token, method, url, payload, app = first.value) => {
    const authorization = `Bearer ${token}`
    const response = await app.inject({
      ...{ method, url, headers: { authorization } },
      ...(payload && { payload }),
    })
    return { status: response.statusCode, body: response.json() }
  }

  return {
    value: {
      ...{ bus: bus.value, app: first.value, other: second.value, control: control.value },
      ...{ hold, ask },
    },
    async stop() {
      await first.stop()
      await second.stop()
      await control.stop()
      await bus.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export function heldCommand(more: Partial<CommandRequest> = {}): CommandRequest {
  const statement = more.statement ?? 'delete from orders'
  return {
    ...{ kind: 'command', statement, identity: identityOf('bot:agents:zoe'), target: 'shop', role: '' },
    digest: createHash('sha256').update(statement).digest('hex'),
    ...{ quorum: [{ groups: ['dba'], count: 1 }], excludesDelegators: true },
    ...{ deadline: systemClock.nowUs() + 600e6, use: 'once', usableUs: 300e6, waiting: true },
    ...{ protocol: 'postgres', database: 'shop', sessionId: 's-1', fingerprint: 'f', values: [] },
    ...{ policyVersion: 'p1', rule: 'where-missing', verdictId: '', estimatedRows: 1200 },
    ...more,
  }
}
