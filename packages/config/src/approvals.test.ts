import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, parseConfig } from './index.ts'

const base = `
bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [] }
targets: []
proxy: { recorder: { onUnavailable: deny } }
`
const slack = `
approvals:
  access: { by: [{ groups: [dba], count: 2 }, { groups: [{ issuer: 'https://idp.example', group: lead }] }] }
  slack:
    teams: [T0123]
    channel: C0123
    botToken: env:BOT
    signingSecret: env:SIGNING
    users:
      U0123: { issuer: https://idp.example, subject: ann, groups: [dba] }
`

function problemsOf(text: string): readonly string[] {
  try {
    parseConfig(`${base}${text}`, '/etc/p.yaml')
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.problems
  }
  assert.fail('the configuration was accepted')
}

test('who approves in Slack, and who gives access', () => {
  const { approvals } = parseConfig(`${base}${slack}`, '/etc/p.yaml')
  assert.deepEqual(approvals.access, {
    by: [
      { groups: ['dba'], count: 2 },
      { groups: [{ issuer: 'https://idp.example', group: 'lead' }], count: 1 },
    ],
    ...{ delegatorsMay: false, answerSec: 3600, durationSecMax: 28_800 },
  })
  assert.equal(approvals.slack?.apiUrl, 'https://slack.com/api')
  assert.deepEqual(approvals.slack?.users.U0123?.groups, ['dba'])
  assert.deepEqual(approvals.tell, [])
  assert.equal(parseConfig(base, '/etc/p.yaml').approvals.access, undefined)
})

test('every mistake with its line: names for ids, secrets in the file, nobody, too many, a sink that is not there', () => {
  const problems = problemsOf(`
approvals:
  tell: [webhook, pagerduty]
  access: { by: [{ groups: [a], count: 9 }, { groups: [b], count: 9 }] }
  slack:
    teams: [acme]
    channel: C0123
    botToken: xoxb-123
    signingSecret: env:SIGNING
    users:
      ann: { issuer: https://idp.example, subject: ann, groups: [] }
`)
  for (const [line, what] of [
    [9, /approvals\.tell\.0.*needs alerts\.webhook/],
    [9, /approvals\.tell\.1.*needs alerts\.pagerduty/],
    [10, /approvals\.access\.by.*more than 16 people/],
    [12, /approvals\.slack\.teams\.0.*T…/],
    [14, /approvals\.slack\.botToken.*secrets never stand/],
    [17, /approvals\.slack\.users\.ann/],
  ] as const)
    assert.ok(
      problems.some((problem) => what.test(problem) && problem.includes(`:${line}`)),
      `${what} at ${line}: ${problems.join('\n')}`,
    )
})
