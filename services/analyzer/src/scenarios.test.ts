/** The scenarios of the ladder, each with its benign twin, and the budget for false steps over a benign month. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommandEvent, Verdict } from '@portcullis/kernel'
import {
  act,
  attack,
  batchLoader,
  chattyModel,
  cloudEast,
  cronJob,
  dayUs,
  elsewhere,
  fleet,
  historyOf,
  hourUs,
  minuteUs,
  privileged,
  randomFrom,
  read,
  secondUs,
} from '../../../load-tests/simulator/index.ts'
import type { Baseline, BaselineFold } from './baseline.ts'
import { foldAll, foldOf, learned, mondayUs, recorder } from './test-support.ts'

const loadFacts = read('insert into facts select * from staging', 'facts', 0, 20)
const customers = read('select * from customers', 'customers', 30, 10_000)
const cron = cronJob(11)
const cronOrigin = { address: '192.0.2.10', country: 'DE', region: '', asn: 64496, asOrg: 'Example Office' }
const fold = foldOf()
const cronWeek = learned(cron, 7)
const afterWeekUs = mondayUs + 7 * dayUs + 20 * minuteUs

test('scenario 1: a spike of 20 times is throttled within its first 15 s and blocked within a minute', () => {
  const baseline = structuredClone(cronWeek)
  // The job's minute has about 30 commands.
  const spike = { agent: cron, statement: customers, origin: cronOrigin, session: 1, perMinute: 600, seed: 3 }
  const outcome = attack(
    { ...spike, fromUs: afterWeekUs },
    recorder('spike'),
    afterWeekUs + 10 * minuteUs,
    judge(fold, baseline),
  )
  assert.ok(outcome.throttledAfterUs !== undefined && outcome.throttledAfterUs <= 15 * secondUs)
  assert.ok(outcome.letBeforeThrottle <= 5 * 35, `${outcome.letBeforeThrottle} commands before the throttle`)
  assert.ok(outcome.blockedAfterUs !== undefined && outcome.blockedAfterUs <= minuteUs)
  assert.ok(outcome.let <= outcome.letBeforeThrottle + 40, `${outcome.let} commands in all`)
})

test('scenario 1, twin: three times the load in the hour in which it always loads passes', () => {
  // Its load hour has about 45 a minute on working days and three times that on Sundays.
  const agent = batchLoader(12)
  const baseline = learned(agent, 8)
  const tuesdayLoadUs = mondayUs + 8 * dayUs + 2 * hourUs
  const burst = (perMinute: number) => {
    const load = { agent, statement: loadFacts, origin: cloudEast, session: 1, perMinute, seed: 4 }
    const judged = judge(fold, structuredClone(baseline))
    return attack({ ...load, fromUs: tuesdayLoadUs }, recorder('twin'), tuesdayLoadUs + hourUs, judged)
  }
  assert.equal(burst(135).throttledAfterUs, undefined)
  assert.ok(
    (burst(900).throttledAfterUs ?? Number.POSITIVE_INFINITY) < 20 * secondUs,
    '20 times the load is caught',
  )
})

test('scenario 1, twin: three times the usual at any hour passes', () => {
  const baseline = structuredClone(cronWeek)
  const load = { agent: cron, statement: customers, origin: cronOrigin, session: 1, perMinute: 100, seed: 4 }
  const outcome = attack(
    { ...load, fromUs: afterWeekUs },
    recorder('twin'),
    afterWeekUs + 10 * minuteUs,
    judge(fold, baseline),
  )
  assert.equal(outcome.throttledAfterUs, undefined)
})

test('scenario 2: one huge result is found while it runs, and alone never blocks', () => {
  const baseline = learned(chattyModel(13), 14)
  const at = mondayUs + 14 * dayUs + 10 * hourUs
  const running = (mebibytes: number, seconds: number, phase: CommandEvent['phase']) => ({
    phase,
    commandId: 'exfil.1',
    bytesOut: mebibytes << 20,
    rowsOut: mebibytes * 5_000,
    outcome: phase === 'finished' ? ('ok' as const) : null,
    durationUs: seconds * secondUs,
  })
  const exfil = recorder('exfil')
  const huge = (over: Partial<CommandEvent>) =>
    exfil.record(chattyModel(13), act(randomFrom(1), at, 1, customers, cronOrigin), over)
  const { findings, verdicts } = foldAll(fold, baseline, [
    huge({ ...running(0, 1, 'started') }),
    huge({ ...running(16, 2, 'progress') }),
    huge({ ...running(500, 20, 'progress') }),
    huge({ ...running(1000, 40, 'finished') }),
  ])
  assert.equal(findings[0]?.feature, 'data-volume')
  assert.equal(findings[0]?.observed, 16 << 20)
  assert.ok(verdicts.every(({ action }) => action === 'throttle'))
})

test('scenario 26: a new country throttles; with a spike on top it blocks at once', () => {
  const baseline = structuredClone(cronWeek)
  const hijack = { agent: cron, statement: customers, origin: elsewhere, session: 1, perMinute: 600, seed: 5 }
  const seen: string[] = []
  const judged = judge(fold, baseline)
  attack({ ...hijack, fromUs: afterWeekUs }, recorder('hijack'), afterWeekUs + 5 * minuteUs, (event) => {
    const verdict = judged(event)
    if (verdict) seen.push(`${verdict.action} ${verdict.reason}`)
    // The gate of this test does not enforce: the second evidence has to come from the rate itself.
    return undefined
  })
  assert.deepEqual(seen.slice(0, 2), ['throttle region', 'block independent_features'])
})

test('a first privileged command is told, not enforced; with a new country it blocks', () => {
  const grant = privileged('alter role app superuser', 'ALTER ROLE', 'role', 'app')
  const once = (origin: typeof elsewhere) => {
    const baseline = structuredClone(cronWeek)
    const event = recorder('grant').record(cron, act(randomFrom(1), afterWeekUs, 1, grant, origin))
    return foldAll(fold, baseline, [event])
  }
  const athome = once(cronOrigin)
  assert.deepEqual(
    athome.findings.map(({ feature, severity }) => [feature, severity]),
    [['privileged-use', 'warning']],
  )
  assert.deepEqual(athome.verdicts, [])
  assert.deepEqual(
    once(elsewhere).verdicts.map(({ action }) => action),
    ['block'],
  )
})

test('a benign month stays within the budget: 3 alerts, 1 throttle, no block per identity', () => {
  for (const agent of fleet(20_000)) {
    const baseline = fold.initial()
    const month = historyOf([agent], recorder('month'), mondayUs, mondayUs + 30 * dayUs)
    const { findings, verdicts } = foldAll(fold, baseline, month)
    const alerts = findings.filter(({ severity }) => severity !== 'info')
    const told = alerts.map(({ explanation }) => explanation).join('\n')
    assert.ok(alerts.length <= 3, `${agent.subject}: ${alerts.length} alerts\n${told}`)
    const ids = (action: string) =>
      new Set(verdicts.filter((one) => one.action === action).map(({ verdictId }) => verdictId))
    assert.ok(ids('throttle').size <= 1, `${agent.subject}: ${ids('throttle').size} throttles\n${told}`)
    assert.equal(ids('block').size, 0, `${agent.subject} was blocked\n${told}`)
    assert.ok(JSON.stringify(baseline).length < 16_384, `${agent.subject}: the state grew`)
  }
})

function judge(by: BaselineFold, baseline: Baseline): (event: CommandEvent) => Verdict | undefined {
  return (event) => {
    const outcome = by.fold(baseline, event)
    return outcome.kind === 'ok' ? outcome.verdict : undefined
  }
}
