/** The commands about policies, run as processes. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
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
  const refused = await runCli(['validate', config], {})
  assert.equal(refused.code, 1)
  assert.match(refused.err, /rules\.0\.mask\.columns\.0: must be COLUMN, TABLE\.COLUMN or/)
})
