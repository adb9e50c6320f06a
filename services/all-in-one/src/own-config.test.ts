import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError } from '@portcullis/config'
import { loadOwnConfig } from './own-config.ts'

const folder = mkdtempSync(join(tmpdir(), 'portcullis-own-config-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

const config = join(folder, 'portcullis.yaml')
writeFileSync(
  config,
  `bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }] }
policy: { file: policy.yaml }
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:5432
    credentials: { user: app, password: 'file:nowhere' }
    groups: [agents]
proxy: { recorder: { onUnavailable: deny } }
`,
)
const policy = join(folder, 'policy.yaml')

test('a policy that is not there is missing here, as any other file', () => {
  assert.match(
    loadOwnConfig(config).missing.join('\n'),
    /policy\.file: .*policy\.yaml: there is no such file/,
  )
})

test('mistakes of the policy are those of the configuration, each with its line in its own file', () => {
  writeFileSync(policy, 'rules:\n  - name: reads\n    action: alow\n  - use: where-misssing\n')
  assert.throws(
    () => loadOwnConfig(config),
    (error) => {
      assert.ok(error instanceof ConfigError)
      const places = error.problems.map((line) => line.replace(policy, '').split(': ', 2).join(' '))
      assert.deepEqual(places, [':3:5 rules.0.action', ':4:5 rules.1.use'])
      return true
    },
  )
})

test('what may be meant otherwise is a warning', () => {
  writeFileSync(policy, 'rules:\n  - { name: reads, match: { targets: [shopp] }, action: allow }\n')
  const { warnings } = loadOwnConfig(config)
  assert.match(warnings.join('\n'), /policy\.yaml:2:\d+: rules\.0\.match\.targets\.0: .*no target shopp/)
  assert.equal(warnings.length, 1)
})

test('a role that nobody can have, and one of an issuer that is not trusted, is a warning with its line', () => {
  writeFileSync(policy, 'rules: [{ name: rest, action: allow }]\n')
  const roles = join(folder, 'roles.yaml')
  writeFileSync(
    roles,
    `${readFileSync(config, 'utf8')}api:
  roles: { dba: approver, oncall: responder }
  roleOf:
    - { issuer: 'https://idp.example', group: bots, role: approver }
    - { issuer: 'https://ipd.example', group: bots, role: admin }
`,
  )
  const { warnings } = loadOwnConfig(roles)
  assert.equal(warnings.length, 2, warnings.join('\n'))
  assert.match(warnings[0] ?? '', /roles\.yaml:13:\d+: api\.roles\.dba: .*for people.*api\.roleOf/)
  assert.match(warnings[1] ?? '', /api\.roleOf\.1\.issuer: the file trusts no issuer https:\/\/ipd\.example/)
  writeFileSync(
    roles,
    `${readFileSync(roles, 'utf8').replace('identity: { ', "identity: { own: { key: 'file:nowhere' }, ")}people:
  publicUrl: https://gate.example
  oidc: [{ name: corp, issuer: 'https://people.example', clientId: gate }]
`,
  )
  assert.equal(loadOwnConfig(roles).warnings.length, 1, 'people have it')
})
