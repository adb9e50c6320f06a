/** The commands about policies, run as processes. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { startGateServer } from './testing/gate-server.ts'
import { runCli } from './testing/run-cli.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-policy-'))
after(() => rmSync(dir, { recursive: true }))

function file(name: string, text: string): string {
  const path = join(dir, name)
  writeFileSync(path, text)
  return path
}

const rules = (must: string) => `rules:
  - use: where-missing
  - { name: rest, action: allow }
examples:
  - { must: allow, sql: select 1 }
  - { must: ${must}, by: where-missing, sql: delete from t }
`

test('policy test: examples that hold, one that does not, rules with mistakes', async () => {
  const good = await runCli(['policy', 'test', file('good.yaml', rules('hold'))], {})
  assert.deepEqual([good.code, good.err], [0, ''])
  assert.match(good.out, /2 of 2 examples/)
  const bad = await runCli(['policy', 'test', file('bad.yaml', rules('block'))], {})
  assert.equal(bad.code, 1)
  assert.match(
    bad.out,
    /bad\.yaml:6:5: examples\.1: must be block by where-missing, is hold by where-missing/,
  )
  const json = await runCli(['policy', 'test', '--json', file('bad.yaml', rules('block'))], {})
  assert.equal(JSON.parse(json.out).problems.length, 1)
  const wrong = await runCli(
    ['policy', 'test', file('wrong.yaml', 'rules:\n  - { name: a, actoin: allow }\n')],
    {},
  )
  assert.equal(wrong.code, 1)
  assert.match(wrong.err, /wrong\.yaml:2:16: rules\.0\.actoin: unknown key/)
})

test('validate: the policy that a configuration names is read with it', async () => {
  const config = file(
    'portcullis.yaml',
    `bus: { url: 'lmdb:./bus' }
audit: { url: 'embedded:./audit' }
identity: { issuers: [] }
policy: { file: ./policy.yaml }
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:5432
    credentials: { user: app }
    groups: ['*']
proxy: { recorder: { onUnavailable: deny } }
`,
  )
  file('policy.yaml', `rules: [{ name: a, match: { targets: [shpo] }, action: allow }]\n`)
  const warned = await runCli(['validate', config], {})
  assert.equal(warned.code, 0, warned.err)
  assert.match(warned.err, /policy\.yaml:1:39: rules\.0\.match\.targets\.0: the file has no target shpo/)
  file('policy.yaml', 'rules: [{ name: a, action: mask, mask: { columns: [a.b.c.d] } }]\n')
  const itself = await runCli(['validate', file('itself.yaml', rules('hold'))], {})
  assert.equal(itself.code, 1)
  assert.match(itself.err, /is this a policy\? portcullis policy test/)
  const refused = await runCli(['validate', config], {})
  assert.equal(refused.code, 1)
  assert.match(refused.err, /rules\.0\.mask\.columns\.0: must be COLUMN, TABLE\.COLUMN or/)
})

test('policy put, show, remove and backtest at a gate', async () => {
  const gate = await startGateServer()
  const { reply, sent, asked } = gate.value
  const env = { PORTCULLIS_URL: gate.value.url, PORTCULLIS_TOKEN: 'the-token-of-ann' }
  const answers = (what: string, body: object, status = 200) =>
    reply.set(what, { status, body: JSON.stringify(body) })
  try {
    const good = file('put.yaml', rules('hold'))
    answers('PUT /v1/config/policies/shop', { id: 'shop', outcome: 'created', written: true, version: 1 })
    const put = await runCli(['policy', 'put', 'shop', good], env)
    assert.deepEqual([put.code, put.out], [0, 'shop: created, version 1\n'], put.err)
    assert.deepEqual(JSON.parse(sent.at(-1) ?? ''), { text: rules('hold') })
    const before = asked.length
    const wrong = await runCli(['policy', 'put', 'shop', file('wrong.yaml', rules('block'))], env)
    assert.equal(wrong.code, 1)
    assert.match(wrong.err, /examples\.1: must be block by where-missing, is hold/)
    assert.equal(asked.length, before, 'nothing was sent')
    const problem = { type: 'urn:portcullis:problem:precondition_failed', detail: 'It is at version 2.' }
    answers('PUT /v1/config/policies/shop', problem, 412)
    const late = await runCli(['policy', 'put', 'shop', good, '--if-version', '1'], env)
    assert.equal(late.code, 2)
    assert.match(late.err, /version 2\.\n {2}somebody changed it/)

    const mark = { version: 1, changedAt: '2026-01-01T00:00:00.000000Z', changedBy: 'idp|sam', problems: [] }
    const document = { source: 'api', name: 'shop', text: 'rules:\n  - use: where-missing\n', ...mark }
    answers('GET /v1/policy', { version: 'abc', documents: [document] })
    const shown = await runCli(['policy', 'show'], env)
    assert.match(shown.out, /# policy abc\n# shop: version 1, 2026-.* by idp\|sam\nrules:\n {2}- use:/)
    answers('DELETE /v1/config/policies/shop?reason=done%20with&open=true', { id: 'shop', removed: true })
    const removed = await runCli(['policy', 'remove', 'shop', '--reason', 'done with', '--open'], env)
    assert.equal(removed.out, 'shop: removed\n', removed.err)
    const none = { type: 'urn:portcullis:problem:not_found', detail: 'There is no policy of this name.' }
    answers('DELETE /v1/config/policies/shpo?reason=done', none, 404)
    const misspelt = await runCli(['policy', 'remove', 'shpo', '--reason', 'done'], env)
    assert.equal(misspelt.code, 2)
    assert.match(misspelt.err, /is the name right\?/)

    const change = { from: 'hold', to: 'allow', rule: 'r', identity: 'idp|ann', target: 'shop', doubtful: 0 }
    const report = {
      ...{
        policyVersion: 'abc',
        commands: 9,
        same: 5,
        otherRule: 1,
        changed: 2,
        leftOut: { verdict_block: 1 },
      },
      ...{ doubtful: { commands: 3, byAttribute: { 'command.x': 3 } }, assumedLabels: 0, furtherChanges: 0 },
      changes: [{ ...change, commands: 2, examples: ['s.1', 's.2'] }],
    }
    const lines = [{ progress: { commands: 9, of: 9 } }, { report }].map((line) => JSON.stringify(line))
    const type = 'application/x-ndjson; charset=utf-8'
    reply.set('POST /v1/backtests', { status: 200, body: `${lines.join('\n')}\n`, type })
    const from = '2026-01-01T00:00:00Z'
    const tried = await runCli(['backtest', '--policy', good, '--from', from, '--target', 'shop'], env)
    assert.equal(tried.code, 0, tried.err)
    assert.match(tried.out, /of 9 commands 2 come out otherwise/)
    assert.match(tried.out, /3 may come out otherwise than shown.*command\.x 3/)
    assert.match(tried.out, /RULE +CHANGE +COMMANDS +EXAMPLES\nr +hold -> allow +2 +s\.1 s\.2/)
    assert.deepEqual(JSON.parse(sent.at(-1) ?? ''), { from, target: 'shop', policy: rules('hold') })
    const failed = {
      problem: { status: 503, type: 'urn:portcullis:problem:trail_unavailable', detail: 'No.' },
    }
    const mistaken = file('mistaken.yaml', 'rules:\n  - { name: a, action: alow }\n')
    const unsent = await runCli(['backtest', '--policy', mistaken], env)
    assert.equal(unsent.code, 1)
    assert.match(unsent.err, /mistaken\.yaml:2:16: rules\.0\.action/)
    reply.set('POST /v1/backtests', { status: 200, body: `${JSON.stringify(failed)}\n`, type })
    assert.equal((await runCli(['backtest'], env)).code, 3)
  } finally {
    await gate.stop()
  }
})
