/**
 * docs/identity.md is true: each configuration in it is valid, a token with the claims beside it is the identity that stands
 * there, and near misses are refused. The GitHub workflow's own commands sign in at a real gate. Keys of issuers that are far
 * away are handed over; nothing else stands in for anything.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { parseConfig } from '@portcullis/config'
import { createTokenVerifier, IdentityError, type TokenVerifier } from '@portcullis/identity'
import { systemClock } from '@portcullis/kernel'
import { startPostgres } from '@portcullis/testkit/postgres'
import { findProgram } from '@portcullis/testkit/postgres-binaries'
import { startSystem } from '@portcullis/testkit/system'
import { startTestIssuer } from '@portcullis/testkit/tokens'
import { parse } from 'yaml'

const run = promisify(execFile)
const text = readFileSync(join(import.meta.dirname, '../../../docs/identity.md'), 'utf8')

interface Example {
  readonly title: string
  readonly configuration: string
  readonly claims: Record<string, unknown>
  readonly identity: {
    readonly subject: string
    readonly groups: readonly string[]
    readonly instance?: string
    readonly task?: string
  }
}

const sections = text.split(/^## /m).slice(1)

/** The sections about platforms: those that show a token. */
const examples: readonly Example[] = sections.flatMap((section) => {
  const [configuration] = blocks(section, 'yaml')
  const [claims, identity] = blocks(section, 'json').map((block) => JSON.parse(block))
  const isOfPlatform = configuration !== undefined && claims !== undefined
  return isOfPlatform ? [{ title: titleOf(section), configuration, claims, identity }] : []
})

/** Claims of a token that must not pass for the example's, and by which code. */
const nearMisses: Record<string, readonly [Record<string, unknown>, string][]> = {
  'GitHub Actions': [
    [{ repository_id: '740013' }, 'claim_mismatch'],
    [{ repository_id: undefined }, 'claim_missing'],
    [{ repository_owner_id: '1' }, 'claim_mismatch'],
    [{ job_workflow_ref: 'acme/shop/.github/workflows/report.yml@refs/heads/evil' }, 'condition'],
    [{ job_workflow_ref: 'evil/shop/.github/workflows/report.yml@refs/heads/main' }, 'condition'],
    [{ event_name: 'pull_request_target' }, 'condition'],
    [{ runner_environment: undefined }, 'condition'],
    [{ run_id: undefined }, 'claim_missing'],
  ],
  'GitLab CI': [
    [{ project_id: '21' }, 'claim_mismatch'],
    [{ namespace_id: '1' }, 'claim_mismatch'],
    [{ ref_protected: 'false' }, 'condition'],
    [{ ref_protected: true }, 'condition'],
    [{ ref: 'dev' }, 'condition'],
    [{ pipeline_source: 'merge_request_event' }, 'condition'],
    [{ ci_config_ref_uri: 'gitlab.com/evil/shop//.gitlab-ci.yml@refs/heads/main' }, 'condition'],
  ],
  'Kubernetes service accounts': [
    [{ 'kubernetes.io': { namespace: 'default', pod: { uid: 'x' } } }, 'condition'],
    [{ 'kubernetes.io': { namespace: 'reports' } }, 'claim_missing'],
    [{ 'kubernetes.io': undefined }, 'condition'],
  ],
  'SPIFFE JWT-SVID': [
    [{ sub: 'spiffe://acme.example.evil.example/agents/planner' }, 'condition'],
    [{ sub: 'spiffe://acme.example/people/ann' }, 'condition'],
    [{ sub: undefined }, 'condition'],
  ],
  'Google Cloud': [
    [{ sub: '1' }, 'claim_mismatch'],
    [{ email_verified: false }, 'condition'],
    [{ email_verified: 'true' }, 'condition'],
    [{ google: undefined }, 'condition'],
  ],
  'Azure managed identities': [
    [{ oid: 'c5b0f2de-0000-4000-8000-000000000000' }, 'claim_mismatch'],
    [{ aud: 'api://other' }, 'wrong_audience'],
  ],
  AWS: [[{ sub: 'arn:aws:iam::123456789012:role/nightly2' }, 'condition']],
  "A company's own issuer": [
    [{ azp: 'another' }, 'wrong_party'],
    [{ realm_access: {} }, 'claim_missing'],
  ],
}

test('there is an example of every platform, and near misses of each', () => {
  assert.deepEqual(examples.map(({ title }) => title).sort(), Object.keys(nearMisses).sort())
})

for (const section of sections.filter((one) => blocks(one, 'json').length === 0))
  for (const block of blocks(section, 'yaml'))
    test(`${titleOf(section)}: the configuration is one`, () => {
      const recorder = '  recorder: { onUnavailable: deny }\n'
      const proxy = block.replace('proxy:\n', `proxy:\n${recorder}`)
      const issuer = '{ issuer: https://idp.example, audience: [portcullis] }'
      const besides = block.includes('targets:') ? stores : `${stores}${targets}`
      const given = `${block.includes('proxy:') ? proxy : `${block}proxy:\n${recorder}`}${besides}`
      const whole = block.includes('identity:') ? given : `${given}identity: { issuers: [${issuer}] }\n`
      parseConfig(whole, '/etc/portcullis/p.yaml')
    })

for (const { title, configuration, claims, identity } of examples)
  test(title, async (t) => {
    const { verifier, sign } = await verifierOf(t, configuration)
    const { tokenId, identity: proven } = await verifier.verify(await sign(claims))
    assert.deepEqual(proven, {
      issuer: claims.iss,
      subject: identity.subject,
      groups: identity.groups,
      delegation: [],
      instance: identity.instance ?? tokenId,
      task: identity.task ?? '',
      ancestors: [],
    })
    for (const [over, code] of nearMisses[title] ?? [])
      await assert.rejects(
        verifier.verify(await sign({ ...claims, ...over })),
        (error) => error instanceof IdentityError && error.code === code,
        JSON.stringify(over),
      )
  })

const tools = ['bash', 'curl', 'jq', 'psql'].filter((program) => findProgram(program) === undefined)
test("the workflow's own commands sign in", { skip: tools.length > 0 && `without ${tools}` }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-workflow-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const postgres = await startPostgres()
  t.after(() => postgres.stop())
  await postgres.value.query('create table orders as select generate_series(1, 7)')
  const github = examples.find(({ title }) => title === 'GitHub Actions')
  assert.ok(github)
  const [{ issuer: _, audience: __, ...rules }] = parse(github.configuration).identity.issuers
  const system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    workers: 1,
    extra: { issuer: yamlOf(rules) },
  })
  t.after(() => system.stop())
  const actions = await startActions(t, () =>
    system.value.issuer.sign({ ...github.claims, iss: system.value.issuer.issuer }),
  )

  const section = text.split(/^## /m).find((part) => part.startsWith('GitHub Actions')) ?? ''
  const workflow = parse(blocks(section, 'yaml')[1] ?? '')
  assert.deepEqual(workflow.permissions, { contents: 'read', 'id-token': 'write' })
  const { env, steps } = workflow.jobs.report
  const githubEnv = join(dir, 'env')
  writeFileSync(githubEnv, '')
  const environment = {
    PATH: `${process.env.PATH}`,
    ...env,
    ...{ PGHOST: '127.0.0.1', PGPORT: String(system.value.port()), PGSSLMODE: 'disable' },
    ...{ PGSSLROOTCERT: '', PGDATABASE: postgres.value.database },
    ...{ GITHUB_ENV: githubEnv, ...actions.env },
  }
  const shell = (script: string, more: Record<string, string> = {}) =>
    run('bash', ['-e', '-c', script.replace('-d shop', '')], { env: { ...environment, ...more } })
  const { stdout: masked } = await shell(steps[0].run)
  const written = readFileSync(githubEnv, 'utf8').trim()
  assert.equal(masked.trim().replace('::add-mask::', 'PGPASSWORD='), written)
  const password = { PGPASSWORD: written.replace('PGPASSWORD=', '') }
  assert.match((await shell(steps[1].run, password)).stdout, /\b7\b/)
  const [oneLine = ''] = blocks(section, 'sh')
  assert.match((await shell(oneLine)).stdout, /\b7\b/)
  assert.deepEqual(actions.audiences, ['portcullis', 'portcullis'])
})

/** GitHub's token endpoint, as a runner sees it. */
async function startActions(t: TestContext, token: () => Promise<string>) {
  const audiences: (string | null)[] = []
  const server = createServer(async (request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://runner')
    if (request.headers.authorization !== 'bearer of-the-job') return void response.writeHead(401).end()
    audiences.push(searchParams.get('audience'))
    response.end(JSON.stringify({ count: 1, value: await token() }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => void server.close())
  const { port } = server.address() as AddressInfo
  return {
    audiences,
    env: {
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-the-job',
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${port}/token?api-version=2.0`,
    },
  }
}

async function verifierOf(
  t: TestContext,
  configuration: string,
): Promise<{ verifier: TokenVerifier; sign(claims: Record<string, unknown>): Promise<string> }> {
  const keys = await startTestIssuer()
  t.after(keys.stop)
  const jwk = await keys.value.publicJwk()
  const { identity } = parseConfig(`${configuration}${rest}`, '/etc/portcullis/p.yaml')
  const [issuer] = identity.issuers
  assert.ok(issuer && identity.issuers.length === 1)
  const { ca: _, jwksToken: __, jwksUri, ...settings } = issuer
  const verifier = createTokenVerifier({
    issuers: [{ ...settings, ...(jwksUri && { jwksUri }) }],
    clock: systemClock,
    log: { info() {}, warn() {} },
    fetchJson: async (url) =>
      /openid-configuration$/.test(url)
        ? { issuer: issuer.issuer, jwks_uri: 'https://keys.example/' }
        : { keys: [jwk] },
  })
  const sign = (claims: Record<string, unknown>) => keys.value.sign({ jti: undefined, ...claims })
  return { verifier, sign }
}

const stores = `
bus: lmdb:./bus
audit: embedded:./audit
`
const targets = `targets:
  - { name: shop, protocol: postgres, address: 127.0.0.1:5432, credentials: { user: app }, groups: [agents] }
`
const rest = `${stores}${targets}
proxy:
  recorder: { onUnavailable: deny }
`

function blocks(section: string, language: string): string[] {
  return [...section.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    ([, block = '']) => block,
  )
}

function titleOf(section: string): string {
  return section.slice(0, section.indexOf('\n'))
}

/** JSON is YAML: one line a key. */
function yamlOf(rules: object): string {
  return Object.entries(rules)
    .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
    .join('\n')
}
