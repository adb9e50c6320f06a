/** The alerts service on the real embedded bus, with PagerDuty and Slack played by a real HTTP receiver. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import {
  type Bus,
  type CommandEvent,
  type Started,
  systemClock,
  topics,
  type VerdictEvent,
} from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { startControlLog } from '@portcullis/platform/control'
import { createLog, createMetrics } from '@portcullis/platform/service'
import { type Route, startRoute } from './route.ts'
import { createPagerDutySink } from './sinks/pagerduty.ts'
import { createPost } from './sinks/post.ts'
import { createSlackSink } from './sinks/slack.ts'
import { createSlackApprovalsSink } from './sinks/slack-approvals.ts'
import { openStateFile } from './state-file.ts'
import { commandOf, findingOf, heldOf, verdictOf as plainVerdict } from './test-events.ts'
import { type Receiver, startReceiver, until } from './test-receiver.ts'

const codecs = createCodecs()
const log = createLog({ service: 'test', level: 'silent' })
const dir = mkdtempSync(join(tmpdir(), 'portcullis-alerts-'))
let rooms = 0
after(() => rmSync(dir, { recursive: true, force: true }))

/** A bus, a receiver and a data folder of one's own. */
async function room(t: TestContext) {
  const here = join(dir, String(rooms++))
  const bus = await connectBus(`lmdb:${join(here, 'bus')}`, { logger: log })
  await bus.value.ensureTopics(
    [topics.control, topics.verdicts, topics.findings, topics.commands].map((topic) => ({
      topic,
      partitions: topic === topics.control ? 1 : 2,
      cleanup: topic === topics.verdicts ? 'compact' : 'delete',
      retentionMs: -1,
    })),
  )
  const receiver = await startReceiver(({ path }) =>
    path === '/v2/enqueue' ? { status: 202 } : { status: 200, body: '{"ok":true,"channel":"C1","ts":"1.5"}' },
  )
  t.after(async () => {
    await receiver.stop()
    await bus.stop()
  })
  const file = join(here, 'state.json')
  return {
    bus: bus.value,
    receiver: receiver.value,
    file,
    start: () => startService(bus.value, receiver.value, file),
  }
}

async function startService(
  bus: Bus,
  { url }: Receiver,
  file: string,
  perHourMax = 60,
): Promise<Started<Route>> {
  const post = createPost(500)
  const pagerDuty = createPagerDutySink({ routingKey: 'R', url: `${url}/v2/enqueue`, post })
  const slack = createSlackSink({ bot: { token: 'xoxb', channel: '#a', apiUrl: `${url}/api` }, post })
  const approvals = createSlackApprovalsSink({
    bot: { token: 'xoxb', channel: '#ok', apiUrl: `${url}/approvals` },
    post,
  })
  return startRoute({
    approvalsBase: 'https://gate.example',
    bus,
    codecs,
    clock: systemClock,
    sinks: [
      { sink: pagerDuty, intervalMs: 0, takes: ['incidents'] },
      { sink: slack, intervalMs: 0, takes: ['incidents'] },
      { sink: approvals, intervalMs: 0, takes: ['approvals'] },
    ],
    stateFile: await openStateFile(file),
    perHourMax,
    log,
    metrics: createMetrics('test'),
    ids: randomUUID,
    backoffMs: 10,
    tickMs: 20,
  })
}

function verdictOf(verdictId: string, more: Partial<VerdictEvent> = {}): VerdictEvent {
  const issuedAt = systemClock.nowUs()
  return plainVerdict(verdictId, { issuedAt, until: issuedAt + 600_000_000, ...more })
}
function publish(bus: Bus, ...verdicts: VerdictEvent[]): Promise<void> {
  return bus.publish(
    verdicts.map((verdict) => ({
      topic: topics.verdicts,
      key: verdict.verdictId,
      value: codecs.verdict.encode(verdict),
    })),
  )
}
const pages = ({ requests }: Receiver) =>
  requests.filter(({ path }) => path === '/v2/enqueue').map(({ body }) => body.event_action)
const slackCalls = ({ requests }: Receiver) =>
  requests.map(({ path }) => path).filter((path) => path.startsWith('/api'))
const settle = () => new Promise((resolve) => setTimeout(resolve, 150))

test('throttle, block, lifted by hand: one page, one Slack message edited in place, both resolved', async (t) => {
  const { bus, receiver, start } = await room(t)
  const service = await start()
  await bus.publish([
    {
      topic: topics.findings,
      key: 'a',
      value: codecs.finding.encode(findingOf('f1', { at: systemClock.nowUs() })),
    },
  ])
  await publish(bus, verdictOf('v1', { action: 'throttle', ratePerMinute: 3, findings: ['f1'] }))
  await until(() => pages(receiver).length === 1, 'the page')
  await until(() => slackCalls(receiver).length === 1, 'the message')
  await publish(bus, verdictOf('v2'))
  await until(() => pages(receiver).length === 2, 'the escalation')
  await until(() => slackCalls(receiver).length === 2, 'the edit')
  const control = await startControlLog({ bus, codecs, clock: systemClock, ids: randomUUID })
  const actor = { issuer: 'portcullis', subject: 'ops', roles: ['responder'] }
  for (const verdictId of ['v1', 'v2'])
    await control.value.write({ type: 'verdict.lifted', verdictId, reason: 'known' }, actor)
  await until(() => pages(receiver).length === 3, 'the resolve')
  await until(() => slackCalls(receiver).length === 3, 'the last edit')
  assert.deepEqual(pages(receiver), ['trigger', 'trigger', 'resolve'])
  assert.deepEqual(slackCalls(receiver), ['/api/chat.postMessage', '/api/chat.update', '/api/chat.update'])
  const keys = receiver.requests.flatMap(({ body }) => body.dedup_key ?? [])
  assert.equal(new Set(keys).size, 1)
  await control.stop()
  await service.stop()
})

test('after a restart nothing is told again, and what ended meanwhile is resolved', async (t) => {
  const { bus, receiver, start } = await room(t)
  const first = await start()
  const short = verdictOf('v1', { until: systemClock.nowUs() + 1_500_000 })
  await publish(bus, short, verdictOf('v2', { target: 'other' }))
  await until(() => pages(receiver).length === 2 && slackCalls(receiver).length === 2, 'the pages')
  await first.stop()
  const second = await start()
  await until(() => pages(receiver).length === 3, 'the resolve')
  await until(() => slackCalls(receiver).length === 3, 'the edit')
  await settle()
  assert.deepEqual(pages(receiver), ['trigger', 'trigger', 'resolve'])
  await second.stop()
})

test('without its state file verdicts in force are told once more, under the same key', async (t) => {
  const { bus, receiver, file, start } = await room(t)
  const first = await start()
  await publish(bus, verdictOf('v1'), verdictOf('over', { target: 'x', until: systemClock.nowUs() + 1 }))
  await until(() => pages(receiver).length === 1, 'the page')
  await first.stop()
  writeFileSync(file, '{"version":')
  const second = await start()
  await until(() => pages(receiver).length === 2, 'the second page')
  await settle()
  const keys = receiver.requests.flatMap(({ body }) => body.dedup_key ?? [])
  assert.deepEqual(pages(receiver), ['trigger', 'trigger'])
  assert.equal(new Set(keys).size, 1)
  assert.equal(readFileSync(`${file}.unreadable`, 'utf8'), '{"version":')
  await second.stop()
})

test('a verdict by hand is told; one that was lifted before we looked is not', async (t) => {
  const { bus, receiver, start } = await room(t)
  const control = await startControlLog({ bus, codecs, clock: systemClock, ids: randomUUID })
  const actor = { issuer: 'portcullis', subject: 'ops', roles: ['responder'] }
  const issue = (verdictId: string) => {
    const {
      state: _,
      findings: __,
      causeCommandId: ___,
      causeReceivedAt: ____,
      ...verdict
    } = verdictOf(verdictId)
    return control.value.write({ type: 'verdict.issued', verdict }, actor)
  }
  await issue('lifted-early')
  await control.value.write({ type: 'verdict.lifted', verdictId: 'lifted-early', reason: 'x' }, actor)
  await control.value.write({ type: 'verdict.lifted', verdictId: 'analyzers', reason: 'x' }, actor)
  await publish(bus, verdictOf('analyzers', { target: 'other' }))
  const service = await start()
  await issue('by-hand')
  await until(() => pages(receiver).length === 1, 'the page')
  await settle()
  assert.deepEqual(pages(receiver), ['trigger'])
  assert.match(receiver.requests[0]?.text ?? '', /"issued_by":"portcullis\|ops"/)
  await control.stop()
  await service.stop()
})

test('while PagerDuty is down nothing is lost, and Slack does not wait for it', async (t) => {
  const { bus, receiver, start } = await room(t)
  let down = true
  const { otherwise } = receiver
  receiver.otherwise = (request) =>
    down && request.path === '/v2/enqueue' ? { status: 500 } : otherwise(request)
  const service = await start()
  await publish(bus, verdictOf('v1'), verdictOf('v2', { target: 'other' }))
  await until(() => slackCalls(receiver).length === 2, 'the messages')
  await until(() => pages(receiver).length >= 4, 'some tries')
  down = false
  const before = receiver.requests.length
  await until(
    () => receiver.requests.slice(before).filter(({ path }) => path === '/v2/enqueue').length === 2,
    'both',
  )
  await settle()
  assert.equal(receiver.requests.slice(before).length, 2)
  await service.stop()
})

test('429 with Retry-After: silence for exactly that long', async (t) => {
  const { bus, receiver, start } = await room(t)
  receiver.otherwise = ({ path }) =>
    path === '/v2/enqueue'
      ? { status: 202 }
      : slackCalls(receiver).length === 1
        ? { status: 429, headers: { 'retry-after': '1' } }
        : { status: 200, body: '{"ok":true,"channel":"C1","ts":"1.5"}' }
  const service = await start()
  await publish(bus, verdictOf('v1'))
  await until(() => slackCalls(receiver).length === 1, 'the first try')
  await publish(bus, verdictOf('v2', { target: 'other' }))
  await until(() => slackCalls(receiver).length === 3, 'both messages')
  const [refused, next] = receiver.requests.filter(({ path }) => path.startsWith('/api'))
  assert.ok(refused && next)
  assert.ok(next.atMs - refused.atMs >= 990, `${next.atMs - refused.atMs} ms`)
  await service.stop()
})

test('a flood of ten thousand incidents with a budget of one: one page and one summary', async (t) => {
  const { bus, receiver, file } = await room(t)
  const service = await startService(bus, receiver, file, 1)
  await publish(
    bus,
    ...Array.from({ length: 10_000 }, (_, index) => verdictOf(`v${index}`, { target: `t${index}` })),
  )
  await until(() => pages(receiver).length === 2, 'page and summary')
  await settle()
  assert.equal(pages(receiver).length, 2)
  await service.stop()
})

test('an event that nobody can read is passed over', async (t) => {
  const { bus, receiver, start } = await room(t)
  const service = await start()
  await bus.publish([{ topic: topics.verdicts, key: 'v1', value: Buffer.from('not avro') }])
  await publish(bus, verdictOf('v1'))
  await until(() => pages(receiver).length === 1, 'the page')
  assert.equal(service.value.problem(), undefined)
  await service.stop()
})

const alerting = (number: number, rule: string, more: Partial<CommandEvent> = {}) =>
  commandOf(number, {
    startedAt: systemClock.nowUs(),
    attributes: { 'policy.alerts': JSON.stringify([{ rule, severity: 'error' }]) },
    ...more,
  })
function publishCommands(bus: Bus, events: readonly CommandEvent[]): Promise<void> {
  return bus.publish(
    events.map((event) => ({ topic: topics.commands, key: 'a', value: codecs.command.encode(event) })),
  )
}

test('ten thousand commands of which a rule wants it told: one page; another rule or target is another', async (t) => {
  const { bus, receiver, start } = await room(t)
  await publishCommands(bus, [alerting(1, 'before')])
  let service = await start()
  try {
    await publish(bus, verdictOf('v1', { target: 'ready' }))
    await until(() => pages(receiver).length === 1, 'the service to read')
    for (let from = 0; from < 10_000; from += 2000)
      await publishCommands(
        bus,
        Array.from({ length: 2000 }, (_, at) => alerting(from + at, 'shop/secrets')),
      )
    await publishCommands(bus, [
      alerting(1, 'shop/other'),
      alerting(2, 'shop/secrets', { target: 'billing' }),
    ])
    await until(() => pages(receiver).length === 4, 'a page for each')
    await until(() => slackCalls(receiver).length === 4, 'and a message')
    const paged = receiver.requests.flatMap(({ path, text }) =>
      path === '/v2/enqueue' ? [JSON.parse(text).payload] : [],
    )
    assert.deepEqual(paged.map(({ summary }) => summary).slice(1), [
      'agent-7: rule shop/secrets at shop',
      'agent-7: rule shop/other at shop',
      'agent-7: rule shop/secrets at billing',
    ])
    assert.match(
      paged[3].custom_details.explanation,
      /DELETE of public\.orders at billing: hold \(policy_hold\)/,
    )
    await service.stop()

    // What comes while it is away is told, and nothing twice.
    await publishCommands(bus, [alerting(10_001, 'shop/secrets'), alerting(1, 'shop/late')])
    service = await start()
    await until(() => pages(receiver).length === 5, 'what came meanwhile')
    await settle()
    assert.equal(pages(receiver).length, 5)
  } finally {
    await service.stop()
  }
})

test('what waits is told with buttons, the same message edited as it is answered, over, or used; a restart tells nothing twice', async (t) => {
  const { bus, receiver, start } = await room(t)
  const control = await startControlLog({ bus, codecs, clock: systemClock, ids: randomUUID })
  const proxy = { issuer: 'portcullis', subject: 'gate-1', roles: [] }
  const ask = (approvalId: string, waitUs = 600e6) => {
    const request = heldOf({ deadline: systemClock.nowUs() + waitUs })
    return control.value.write({ type: 'approval.requested', approvalId, request }, proxy)
  }
  const calls = () => receiver.requests.filter(({ path }) => path.startsWith('/approvals'))
  const last = () => JSON.stringify(calls().at(-1)?.body)
  let told = 0
  const toldOf = async (what: string, pattern: RegExp) => {
    told += 1
    await until(() => calls().length === told, what)
    assert.match(last(), pattern)
  }
  await ask('decided-before')
  const digest = heldOf().digest
  const answer = (approvalId: string) =>
    control.value.write(
      {
        ...{ type: 'approval.answered', approvalId, digest, answer: 'approve', reason: 'fine' },
        ...{ groups: ['dba'], delegation: [], via: 'slack' },
      },
      { issuer: 'https://idp.example', subject: 'ben', roles: ['approver'] },
    )
  await answer('decided-before')
  let service = await start()
  await ask('a-1')
  await toldOf(
    'the message',
    /delete from orders.*portcullis\.approve.*portcullis\.deny.*gate\.example\/approvals\/a-1/,
  )
  assert.equal(calls()[0]?.path, '/approvals/chat.postMessage')
  await service.stop()
  service = await start()
  await settle()
  assert.equal(calls().length, 1, 'told once')
  await answer('a-1')
  await toldOf('the answer', /Approved by https:\/\/idp\.example\|ben.*fine/)
  assert.doesNotMatch(last(), /portcullis\.approve/)
  assert.match(last(), /"ts":"1\.5"/)
  await service.stop()
  await control.value.write({ type: 'approval.used', approvalId: 'a-1', digest, commandId: 's1.7' }, proxy)
  service = await start()
  await toldOf('its use, while it was away', /Used/)
  await ask('a-2', 400_000)
  await toldOf('the next', /portcullis\.approve/)
  await toldOf('its end', /Expired/)
  assert.deepEqual(
    calls().map(({ path }) => path.slice(11)),
    ['chat.postMessage', 'chat.update', 'chat.update', 'chat.postMessage', 'chat.update'],
  )
  assert.deepEqual(pages(receiver), [], 'no incident of it')
  await control.stop()
  await service.stop()
})
