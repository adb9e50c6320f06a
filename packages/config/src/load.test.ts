import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { mkdtempSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError, parseConfig, resolveSecret } from './index.ts'
import { ownTokenNames } from './own-tokens.ts'
import { publicAddress } from './public-address.ts'

const minimal = `
bus: lmdb:./bus
audit: embedded:./audit
identity:
  issuers:
    - issuer: https://idp.example
      audience: [portcullis]
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:5432
    credentials: { user: app, password: 'env:SHOP_PASSWORD' }
    groups: [agents]
proxy:
  recorder:
    onUnavailable: deny
`

test('workers: as many as are said, else one a core, at least two and at most sixteen', () => {
  const workers = (line: string) =>
    parseConfig(minimal.replace('proxy:', `proxy:\n  ${line}`), '/etc/p.yaml').proxy.workers
  assert.equal(workers('workers: 1'), 1)
  assert.equal(workers('workers: 64'), 64)
  const byCores = workers('')
  assert.ok(byCores >= 2 && byCores <= 16)
  if (availableParallelism() >= 2 && availableParallelism() <= 16)
    assert.equal(byCores, availableParallelism())
  assert.throws(() => workers('workers: 65'))
})

function problemsOf(text: string): readonly string[] {
  try {
    parseConfig(text, '/etc/portcullis/p.yaml')
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.problems
  }
  assert.fail('the configuration was accepted')
}

test('a minimal configuration gets every default, and paths relative to its file', () => {
  const config = parseConfig(minimal, '/etc/portcullis/p.yaml')
  assert.equal(config.bus.url, 'lmdb:/etc/portcullis/bus')
  assert.equal(config.audit.url, 'embedded:/etc/portcullis/audit')
  assert.equal(config.dataDir, '/etc/portcullis/.portcullis')
  assert.equal(config.proxy.listen.postgres, '127.0.0.1:15432')
  assert.equal(config.targets[0]?.tls.mode, 'prefer')
  assert.equal(config.targets[0]?.caps.windowSec, 3600)
  assert.equal(config.analyzer.throttleSec, 600)
})

test('every mistake is reported at once, each with its line', () => {
  const text = minimal
    .replace('address: 127.0.0.1:5432', 'address: nowhere')
    .replace('groups: [agents]', 'groups: [agents]\n    cap: { rowsPerStatement: 3 }')
    .replace('onUnavailable: deny', 'onUnavailable: maybe')
  const problems = problemsOf(text)
  assert.deepEqual(
    problems.map((problem) =>
      problem
        .replace(/^\/etc\/portcullis\/p.yaml:/, '')
        .split(': ')
        .slice(0, 2)
        .join(' '),
    ),
    ['11:5 targets.0.address', '14:5 targets.0.cap', '17:5 proxy.recorder.onUnavailable'],
  )
})

test('what one key alone cannot tell is reported with the rest, in the order of the file', () => {
  const text = minimal
    .replace(
      'proxy:',
      `  - name: shop
    protocol: postgres
    address: nowhere
    tls: { cert: a.pem }
    credentials: { user: app }
    groups: ['*']
alerts: { slack: { botToken: env:BOT } }
proxy:
  health: 0.0.0.0:15432`,
    )
    .replace('https://idp.example', 'http://idp.example')
    .replace('onUnavailable: deny', 'onUnavailable: maybe')
  assert.deepEqual(
    problemsOf(text).map((problem) => problem.split(':').slice(1, 4).join(':')),
    [
      '6:7: identity.issuers.0.issuer',
      '14:5: targets.1.name',
      '16:5: targets.1.address',
      '17:5: targets.1.tls',
      '20:11: alerts.slack',
      '22:3: proxy.health',
      '24:5: proxy.recorder.onUnavailable',
    ],
  )
  for (const odd of ['- a', 'targets: 3', 'targets: [3]', 'proxy: [1]', '7'])
    assert.ok(problemsOf(odd).length > 0)
})

test('a target may have several hosts; one that is none is reported', () => {
  const several = (text: string) =>
    minimal.replace('address: 127.0.0.1:5432', `address: [${text}]\n    targetSessionAttrs: prefer-standby`)
  const [target] = parseConfig(several("db-1:5432, '[::1]:5433'"), '/etc/portcullis/p.yaml').targets
  assert.deepEqual(target?.address, ['db-1:5432', '[::1]:5433'])
  assert.equal(target?.targetSessionAttrs, 'prefer-standby')
  for (const text of ['db-1:5432, db-2', ''])
    assert.match(problemsOf(several(text))[0] ?? '', /:11:5: targets\.0\.address: .*HOST:PORT|>=1 items/)
})

test('the recorder must say what happens when it cannot record', () => {
  const [problem] = problemsOf(minimal.replace('    onUnavailable: deny', '    durability: disk'))
  assert.match(problem ?? '', /proxy\.recorder\.onUnavailable/)
})

test('what is masked in recorded texts: kinds that there are, patterns that RE2 takes', () => {
  const masking = (lines: string) => problemsOf(`${minimal}    maskText: ${lines}\n`)
  const [unknown, ...more] = masking(`{ detect: [card, cards], patterns: { a: '(?=x)y', b: 'x*', C: 'x' } }`)
  assert.match(unknown ?? '', /^\/etc\/portcullis\/p\.yaml:\d+:\d+: proxy\.recorder\.maskText\.detect\.1: /)
  assert.match(
    more.join('\n'),
    /patterns\.a: .*\n.*patterns\.b: matches the empty text.*\n.*C: must be lower-case/s,
  )
  assert.match(masking('{}')[0] ?? '', /maskText: needs detect, patterns or rules/)
  const text = String.raw`    maskText: { detect: [secrets], patterns: { staff: '\bEMP-\d{6}\b' } }`
  const { maskText } = parseConfig(minimal + text, '/etc/p.yaml').proxy.recorder
  assert.deepEqual(maskText, {
    detect: ['secrets'],
    patterns: { staff: String.raw`\bEMP-\d{6}\b` },
    rules: false,
  })
})

test('what is missing is said to be required, and what a short form stands for', () => {
  const problems = problemsOf('bus: 3\n').map((problem) => problem.replace(/^[^ ]+ /, ''))
  assert.deepEqual(problems.sort(), [
    'audit: is required: a URL or an object',
    'bus: must be a URL or an object',
    'identity: is required',
    'proxy: is required',
    'targets: is required',
  ])
})

test('a secret in the configuration itself is refused', () => {
  const [problem] = problemsOf(minimal.replace("'env:SHOP_PASSWORD'", 'hunter2'))
  assert.match(problem ?? '', /:12:\d+: targets\.0\.credentials\.password: must be a reference/)
  assert.doesNotMatch(problem ?? '', /hunter2/)
})

test('two targets of one name, and YAML that is none', () => {
  const twice = minimal.replace(
    'proxy:',
    `  - name: shop
    protocol: postgres
    address: 127.0.0.1:5433
    credentials: { user: app }
    groups: ['*']
proxy:`,
  )
  assert.match(
    problemsOf(twice)[0] ?? '',
    /:14:\d+: targets\.1\.name: "shop" is already the name of targets\.0/,
  )
  assert.match(problemsOf('a: [1,\nb: {')[0] ?? '', /^\/etc\/portcullis\/p.yaml:\d+:\d+: /)
})

test('what the verifier of tokens would refuse is reported with its line', () => {
  const withIssuer = (lines: string) => minimal.replace('      audience: [portcullis]', `$&\n      ${lines}`)
  const accepted = [
    'jwksCacheSec: 86400',
    'jwksStaleSec: 0',
    'jwksStaleSec: 2592000',
    'jwksCooldownSec: 3600',
    'maxTokenBytes: 256',
    "requiredClaims: { repository_id: ['123'], job.ref: [main, dev] }",
    'authorizedParties: [agent-runner]',
    'actorIssuers: [https://other.example]',
    'jwksUri: https://keys.example/jwks',
    'algorithms: [Ed25519]',
  ]
  for (const line of accepted) parseConfig(withIssuer(line), '/etc/p.yaml')
  const refused = [
    'jwksCacheSec: 86401',
    'jwksStaleSec: 2592001',
    'jwksCooldownSec: 0',
    'jwksCooldownSec: 3601',
    'maxTokenBytes: 255',
    'requiredClaims: { repository_id: [] }',
    'requiredClaims: { repository_id: [123] }',
    'authorizedParties: []',
    'actorIssuers: [http://other.example]',
    'jwksUri: http://keys.example/jwks',
    'jwksUri: http://127.0.0.1:1/jwks',
    'algorithms: [HS256]',
    `conditions: ['claims.ref = "x"']`,
    `conditions: ['claims.ref.matches("x")']`,
    `conditions: ['"a" + "b"']`,
    "subject: 'clams.sub'",
    "subject: '1'",
    "groups: '[1]'",
    "instance: '[claims.run_id]'",
    "task: '1'",
    'addGroups: []',
    "jwksToken: 'sesame'",
  ]
  for (const line of refused)
    assert.match(
      problemsOf(withIssuer(line))[0] ?? '',
      new RegExp(`^/etc/portcullis/p.yaml:8:\\d+: identity\\.issuers\\.0\\.${line.split(':')[0]}`),
      line,
    )
  for (const issuer of [
    'http://idp.example',
    'ftp://idp.example',
    'https://idp.example/?a=b',
    'https://a:b@idp.example',
  ])
    assert.match(
      problemsOf(minimal.replace('https://idp.example', issuer))[0] ?? '',
      /:6:\d+: identity\.issuers\.0\.issuer: must be https/,
      issuer,
    )
  const { algorithms } = parseConfig(minimal, '/etc/p.yaml').identity.issuers[0] ?? {}
  assert.deepEqual(algorithms, ['RS256', 'PS256', 'ES256', 'EdDSA'])
})

test('a wrong expression has its own line and says what is wrong', () => {
  const text = minimal.replace(
    'audience: [portcullis]',
    `audience: [portcullis]
      conditions:
        - claims.ref == "refs/heads/main"
        - claims.ref =~ "x"
      subject: '"ci:" + clams.repository_id'
      instance: claims.run_id.matches("x")`,
  )
  assert.deepEqual(problemsOf(text), [
    '/etc/portcullis/p.yaml:10:11: identity.issuers.0.conditions.1: Unexpected character: = (at character 12)',
    '/etc/portcullis/p.yaml:11:7: identity.issuers.0.subject: Unknown variable: clams (at character 9)',
    '/etc/portcullis/p.yaml:12:7: identity.issuers.0.instance: calls matches, which is not served: use ==, startsWith, endsWith, contains or in',
  ])
})

test('an issuer that anyone gets tokens of must be pinned', () => {
  const pinned = (issuer: string, line: string) =>
    minimal
      .replace('https://idp.example', issuer)
      .replace('audience: [portcullis]', `audience: [portcullis]\n      ${line}`)
  const github = 'https://token.actions.githubusercontent.com'
  for (const [issuer, line] of [
    [github, 'leewaySec: 1'],
    [github, "requiredClaims: { repository: ['acme/shop'], sub: ['repo:acme/shop:ref:refs/heads/main'] }"],
    [github, `conditions: ['claims.repository_id == "1"']`],
    ['https://gitlab.com', "requiredClaims: { project_path: ['acme/shop'] }"],
    ['https://accounts.google.com', 'leewaySec: 1'],
  ] as const)
    assert.match(
      problemsOf(pinned(issuer, line))[0] ?? '',
      /identity\.issuers\.0\.requiredClaims: must pin one of .*: anyone in the world/,
      line,
    )
  for (const line of [
    "requiredClaims: { repository_id: ['1'] }",
    "requiredClaims: { repository_owner_id: ['2'] }",
  ])
    parseConfig(pinned(github, line), '/etc/p.yaml')
  parseConfig(pinned('https://gitlab.acme.example', 'leewaySec: 1'), '/etc/p.yaml')
})

test('one thing is said in one way', () => {
  const both = (line: string) =>
    minimal.replace('audience: [portcullis]', `audience: [portcullis]\n      ${line}`)
  assert.match(
    problemsOf(both("subject: 'claims.sub'\n      subjectClaim: sub"))[0] ?? '',
    /:8:\d+: identity\.issuers\.0\.subject: and subjectClaim say the same thing/,
  )
  assert.match(
    problemsOf(both("groups: 'claims.g'\n      groupsClaim: g"))[0] ?? '',
    /identity\.issuers\.0\.groups: and groupsClaim say the same thing/,
  )
})

test('trusted balancers are addresses and networks', () => {
  const from = (list: string) => minimal.replace('  recorder:', `  proxyProtocolFrom: ${list}\n  recorder:`)
  parseConfig(from("[10.0.0.0/8, 192.0.2.1, '2001:db8::/32', '::1', 0.0.0.0/0]"), '/etc/p.yaml')
  for (const bad of [
    '10.0.0.0/33',
    '10.0.0/8',
    'balancer.example',
    "'2001:db8::/129'",
    '10.0.0.0/8/8',
    '10.0.0.0/',
  ])
    assert.match(
      problemsOf(from(`[10.0.0.0/8, ${bad}]`))[0] ?? '',
      /:15:\d+: proxy\.proxyProtocolFrom\.1: must be an address or a network/,
      bad,
    )
})

test('references to secrets', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'pc-')), 'secret')
  writeFileSync(file, 's3cret\n')
  assert.equal(resolveSecret(`file:${file}`), 's3cret')
  assert.throws(() => resolveSecret('file:/nonexistent/x'), /file:\/nonexistent\/x: there is no such file/)
  assert.throws(() => resolveSecret('env:PORTCULLIS_NOT_SET'), /is not set/)
})

test('our own tokens name the address of the API unless told otherwise, and never a trusted issuer', () => {
  const config = parseConfig(minimal, '/etc/p.yaml')
  assert.deepEqual(ownTokenNames(config), { issuer: 'http://127.0.0.1:8080', audience: 'portcullis' })
  const [, trusted = ''] = /issuer: (\S+)/.exec(minimal) ?? []
  const withOwn = (issuer: string) => minimal.replace('targets:', `  own: { issuer: '${issuer}' }\ntargets:`)
  assert.equal(
    ownTokenNames(parseConfig(withOwn('https://gate.example'), '/etc/p.yaml')).issuer,
    'https://gate.example',
  )
  assert.match(problemsOf(withOwn(trusted))[0] ?? '', /identity\.own\.issuer: .*is a trusted issuer too/)
})

test('clients are told to dial the public address, or the door itself, or the host of our own issuer', () => {
  const told = (proxy: string, issuer = '') => {
    const own = issuer === '' ? '' : `\n  own: { issuer: '${issuer}' }`
    const text = minimal.replace('identity:', `identity:${own}`).replace('proxy:', `proxy:\n  ${proxy}`)
    return publicAddress(parseConfig(text, 'p.yaml'))
  }
  assert.equal(told("listen: { postgres: '10.0.0.9:5432' }"), '10.0.0.9:5432')
  assert.equal(told("listen: { postgres: '0.0.0.0:5432' }"), '127.0.0.1:5432')
  assert.equal(told("publicAddress: 'gate.example:443'"), 'gate.example:443')
  assert.equal(told("listen: { postgres: '[::]:5432' }", 'https://gate.example/x'), 'gate.example:5432')
  assert.throws(() => told('publicAddress: gate.example'), /HOST:PORT/)
})

test('SSH certificates: a principal made of the subject needs its issuers, and is a name', () => {
  const text = (rule: string) =>
    minimal.replace(
      'targets:',
      `ssh:\n  ca: env:SSH_CA\n  certificates:\n    - { groups: [agents], ${rule} }\ntargets:`,
    )
  const problems = (rule: string) => problemsOf(text(rule))
  const good = text("principals: [deploy, 'ci-{subject}'], issuers: [https://idp.example]")
  assert.deepEqual(parseConfig(good, 'p.yaml').ssh?.certificates[0]?.extensions, ['permit-pty'])
  assert.match(problems("principals: ['{subject}']").join(), /issuers.*is required with \{subject\}/)
  for (const principal of ['a,b', '*', '{groups}', '{subject}{subject}', '-x', ''])
    assert.match(problems(`principals: ['${principal}']`).join(), /principals/, principal)
  assert.match(problems('principals: [a], extensions: [permit-root]').join(), /extensions/)
  assert.match(problems('principals: [a], lifeSecMax: 99999999').join(), /lifeSecMax/)
})

test('rules for client certificates need an authority, and a name that no issuer of tokens has', () => {
  const rule = '{ issuer: ISSUER, subject: uri, names: ["spiffe://a/*"], groups: [agents] }'
  const withTls = (rest: string) =>
    minimal.replace('proxy:', `proxy:\n  tls: { cert: a.pem, key: 'file:b.pem', ${rest} }`)
  const rules = (issuer: string) => `clientCertificates: [${rule.replace('ISSUER', issuer)}]`
  const { proxy } = parseConfig(withTls(`clientCa: ca.pem, ${rules('spiffe://a')}`), '/etc/portcullis/p.yaml')
  assert.equal(proxy.tls?.clientCa, '/etc/portcullis/ca.pem')
  assert.equal(proxy.tls?.clientCertificates[0]?.askForToken, false)
  for (const [text, why] of [
    [rules('spiffe://a'), /proxy\.tls: clientCrl and clientCertificates need clientCa/],
    ['clientCrl: crl.pem', /need clientCa/],
    [`clientCa: ca.pem, ${rules('https://a.example')}`, /must not be an http or https URL/],
    [`clientCa: ca.pem, ${rules('portcullis')}`, /is the issuer of API keys/],
    [`clientCa: ca.pem, ${rules('x').replace('spiffe://a/*', '*.a')}`, /may have "\*" at its end only/],
  ] as const)
    assert.match(problemsOf(withTls(text)).join('\n'), why)
  const saml = (entityId: string) => {
    const provider = `{ name: a, idp: { entityId: '${entityId}' } }`
    return `${withTls(`clientCa: ca.pem, ${rules('urn:acme:idp')}`)}people: { saml: [${provider}] }\n`
  }
  assert.match(problemsOf(saml('urn:acme:idp')).join('\n'), /"urn:acme:idp" is a provider that people/)
  assert.doesNotMatch(problemsOf(saml('urn:acme:other')).join('\n'), /is a provider that people/)
})
