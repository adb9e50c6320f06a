/**
 * People and the gate as real processes: a held command that is answered by a button in Slack (a local server in Slack's
 * place) and by the API, and access for a while: asked for, given, used, taken back.
 */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'

const signingSecret = 'a signing secret for tests'
type Body = ReturnType<typeof JSON.parse>
const toSlack: { path: string; body: Body }[] = []
let slack: Server
let slackUrl = ''
let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  slack = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk) => {
      text += chunk
    })
    request.on('end', () => {
      toSlack.push({ path: request.url ?? '', body: JSON.parse(text) })
      response.end('{"ok":true,"channel":"C1","ts":"1.5"}')
    })
  })
  await new Promise<void>((resolve) => slack.listen(0, '127.0.0.1', resolve))
  slackUrl = `http://127.0.0.1:${(slack.address() as AddressInfo).port}`
  postgres = await startPostgres({ auth: 'scram-sha-256' })
  await postgres.value.query(
    'create table items (id int primary key); insert into items select generate_series(1, 9)',
  )
  const { user } = postgres.value
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy', 'query-api', 'projector', 'alerts'],
    policy:
      'rules:\n  - { name: rest, action: allow }\n  - { name: careful, when: command.verb == "DELETE", action: hold }\n',
    env: { SLACK_BOT: 'xoxb-test', SLACK_SIGNING: signingSecret },
    extra: {
      shop: `roles:\n  report: { credentials: { user: '${user}', password: 'env:SHOP_PASSWORD' }, groups: [reporters] }`,
      approvals: `waitSec: 60
link: https://gate.example
access: { by: [{ groups: ['*'] }] }
slack:
  teams: [T01]
  channel: '#approvals'
  botToken: env:SLACK_BOT
  signingSecret: env:SLACK_SIGNING
  apiUrl: ${slackUrl}/api
  users: { U01: { issuer: 'https://people.example', subject: ann, groups: [dba] } }`,
    },
  })
  // A role by the API, as somebody would who has just thought of it.
  await api('PUT', '/v1/config/role-mappings/dba', { role: 'approver' })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
  slack.close()
})

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 20_000
  while (!(await condition())) {
    assert.ok(
      performance.now() < deadlineMs,
      `not so after 20 s: ${condition}\n${system.value.log().slice(-3000)}`,
    )
    await sleep(20)
  }
}

async function api(method: string, path: string, body?: object, token = system.value.apiToken) {
  const response = await fetch(`${system.value.apiUrl}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  })
  const answer: Body = await response.json()
  assert.ok(response.ok, `${method} ${path}: ${JSON.stringify(answer)}`)
  return answer
}

async function open(user: string, password: string): Promise<pg.Client> {
  const { port } = system.value
  const client = new pg.Client({ host: '127.0.0.1', port: port(), user, password, database: 'postgres' })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function waiting(): Promise<Body> {
  let items: Body[] = []
  await until(async () => {
    items = (await api('GET', '/v1/approvals')).items
    return items.length > 0
  })
  return items[0]
}

test('a held command runs once somebody presses Approve in Slack, and the message says so', async () => {
  const client = await open('shop', await system.value.token('bot'))
  try {
    const running = client.query('delete from items where id = 1')
    const { approvalId, text, identity } = await waiting()
    assert.equal(text, 'delete from items where id = 1')
    assert.match(identity, /\|bot$/)
    await until(() => toSlack.length > 0)
    const [{ path, body }] = toSlack as [(typeof toSlack)[number]]
    assert.deepEqual([path, body.channel], ['/api/chat.postMessage', '#approvals'])
    const buttons = body.blocks.find(({ type }: { type: string }) => type === 'actions').elements
    assert.equal(buttons[2].url, `https://gate.example/approvals/${approvalId}`)
    const [approve] = buttons
    const payload = JSON.stringify({
      ...{ type: 'block_actions', team: { id: 'T01' }, user: { id: 'U01', team_id: 'T01' } },
      ...{ response_url: `${slackUrl}/actions/1`, actions: [approve] },
    })
    const form = new URLSearchParams({ payload }).toString()
    const at = String(Math.floor(Date.now() / 1000))
    const press = (secret: string) =>
      fetch(`${system.value.apiUrl}/slack/interactions`, {
        method: 'POST',
        body: form,
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          'x-slack-request-timestamp': at,
          'x-slack-signature': `v0=${createHmac('sha256', secret).update(`v0:${at}:${form}`).digest('hex')}`,
        },
      })
    assert.equal((await press('another secret')).status, 401)
    assert.equal((await press(signingSecret)).status, 200)
    assert.equal((await running).rowCount, 1)
    await until(() =>
      toSlack.some(({ path: to, body: { text: said } }) => /actions/.test(to) && /Approved/.test(said)),
    )
    await until(() => /Used/.test(JSON.stringify(toSlack.filter(({ path: to }) => /update/.test(to)).at(-1))))
    await until(async () => (await api('GET', `/v1/approvals?state=used`)).items.length === 1)
    const [row] = (await api('GET', `/v1/approvals?state=used`)).items
    assert.deepEqual(
      row.answers.map(({ by, via }: Body) => [by, via]),
      [['https://people.example|ann', 'slack']],
    )
    const command = await api('GET', `/v1/commands/${encodeURIComponent(row.commandId)}`)
    assert.deepEqual([command.outcome, command.decision.approvalId], ['ok', approvalId])
  } finally {
    await client.end()
  }
})

test('access for a while: refused before, let in by it, and the session ended with it', async () => {
  const token = await system.value.token('cy')
  await assert.rejects(open('shop+report', token), /not authorised/)
  const asked = { target: 'shop', role: 'report', durationSec: 600, reason: 'CHG-1' }
  const { approvalId } = await api('POST', '/v1/grants', asked, token)
  await assert.rejects(open('shop+report', token), /not authorised/, 'not before somebody said yes')
  await api('POST', `/v1/approvals/${approvalId}/answers`, { answer: 'approve', reason: 'fine' })
  const reachable = await api('GET', '/v1/targets', undefined, token)
  assert.deepEqual(reachable.items[0].roles, ['', 'report'])
  let client: pg.Client | undefined
  await until(async () => {
    client = await open('shop+report', token).catch(() => undefined)
    return client !== undefined
  })
  assert.ok(client)
  assert.equal((await client.query('select 1 as one')).rows[0].one, 1)
  await assert.rejects(open('shop+report', await system.value.token('dan')), /not authorised/)
  let ended: (Error & { code?: string; detail?: string }) | undefined
  client.on('error', (error) => {
    ended ??= error
  })
  await api('POST', `/v1/approvals/${approvalId}/revoke`, { reason: 'done' }, token)
  await until(() => ended !== undefined)
  assert.equal(ended?.code, '57P01')
  assert.match(ended?.detail ?? '', new RegExp(`reason=access_over .*approval=${approvalId}`))
  await assert.rejects(open('shop+report', token), /not authorised/)
  await until(async () => {
    const { items } = await api('GET', '/v1/sessions?limit=50')
    return items.some((one: Body) => one.role === 'report' && one.decision.approvalId === approvalId)
  })
})
