/** There may be no Docker where this runs: what the files name must exist, and the sample configuration must be valid. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfig, parseConfig } from '@portcullis/config'
import { parse } from 'yaml'

const root = join(import.meta.dirname, '..')

type Service = {
  image: string
  command?: string[]
  environment?: Record<string, string | number>
  volumes?: string[]
  depends_on?: Record<string, unknown>
  healthcheck: { test: string[] }
  build?: { context: string; dockerfile: string }
}

const compose: { services: Record<string, Service>; volumes: Record<string, null> } = parse(
  readFileSync(join(root, 'docker-compose.yml'), 'utf8'),
  { merge: true },
)
const config = loadConfig(join(root, 'deploy/portcullis.yaml'))
const own = Object.entries(compose.services).filter(([, service]) => service.build)

test('every service of the product is there, and runs a file that exists with the sample configuration', () => {
  assert.deepEqual(own.map(([name]) => name).sort(), [
    'alerts',
    'analyzer',
    'projector',
    'proxy',
    'query-api',
  ])
  for (const [name, { command = [], volumes = [], build }] of own) {
    assert.ok(existsSync(join(root, command[0] ?? '')), `${name}: ${command[0]}`)
    assert.deepEqual(command.slice(1), ['--config', '/etc/portcullis/portcullis.yaml'])
    assert.ok(volumes.includes('./deploy/portcullis.yaml:/etc/portcullis/portcullis.yaml:ro'), name)
    assert.ok(existsSync(join(root, build?.dockerfile ?? '')))
  }
})

test('what a service waits for, mounts and checks is there', () => {
  const health: Record<string, string> = {
    proxy: config.proxy.health,
    analyzer: config.analyzer.health,
    alerts: config.alerts.health,
    projector: config.projector.health,
    'query-api': config.api.listen,
  }
  for (const [name, { depends_on: needs = {}, volumes = [], healthcheck }] of Object.entries(
    compose.services,
  )) {
    for (const other of Object.keys(needs)) assert.ok(compose.services[other], `${name} waits for ${other}`)
    for (const volume of volumes) {
      const [from = ''] = volume.split(':')
      const known = from.startsWith('.')
        ? from === './deploy/secrets' || existsSync(join(root, from))
        : from in compose.volumes
      assert.ok(known, `${name} mounts ${from}`)
    }
    const expected = health[name]?.replace('0.0.0.0', '127.0.0.1')
    if (expected) assert.ok(healthcheck.test.join(' ').includes(`http://${expected}/readyz`), name)
  }
})

test('the stores are reached by the names and secrets that the compose file gives', () => {
  assert.equal(config.bus.url, 'kafka://kafka:9092')
  assert.equal(compose.services.kafka?.environment?.KAFKA_ADVERTISED_LISTENERS, 'PLAINTEXT://kafka:9092')
  assert.equal(config.audit.url, 'http://clickhouse:8123')
  assert.equal(compose.services.clickhouse?.environment?.CLICKHOUSE_USER, config.audit.username)
  const text = readFileSync(join(root, 'deploy/portcullis.yaml'), 'utf8')
  const named = [...text.matchAll(/^ *[^#\n]*env:([A-Z_]+)/gm)].map((match) => match[1] ?? '')
  assert.equal(named.length, 5)
  // What seals is for who seals and opens alone.
  const only: Record<string, string[]> = { OWN_KEY: ['query-api'], SEALING_KEY: ['proxy', 'query-api'] }
  for (const [name, { environment = {} }] of own)
    for (const variable of named)
      assert.equal(variable in environment, only[variable]?.includes(name) ?? true, `${name}: ${variable}`)
})

test('what stands in the sample configuration as a comment is valid too', () => {
  const text = readFileSync(join(root, 'deploy/portcullis.yaml'), 'utf8')
  // A line of prose begins with a capital letter.
  const whole = text.replace(/^( *)# ( *(?:- )?[a-z][a-zA-Z]*:(?: .*)?)$/gm, '$1$2')
  const { people, secrets } = parseConfig(whole, join(root, 'deploy/portcullis.yaml'))
  assert.equal(people?.oidc?.[0]?.name, 'corp')
  assert.equal(secrets.api.allow.length, 1)
})

test('the secrets are made once, and kept from others', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-deploy-'))
  try {
    const run = () => execFileSync(process.execPath, [join(root, 'deploy/make-secrets.ts'), '--root', folder])
    run()
    const first = readFileSync(join(folder, '.env'), 'utf8')
    run()
    assert.equal(readFileSync(join(folder, '.env'), 'utf8'), first)
    // An older version knew less: what it made stays, the rest is added.
    const older = first.split('\n').slice(0, 3).join('\n')
    writeFileSync(join(folder, '.env'), older)
    run()
    const added = readFileSync(join(folder, '.env'), 'utf8')
    assert.ok(added.startsWith(`${older}\n`))
    assert.equal(added.split('\n').length, first.split('\n').length)
    assert.match(first, /^OWN_KEY=[A-Za-z0-9+/]{43}=$/m)
    const variables = first.split('\n').flatMap((line) => line.split('=')[0] || [])
    const wanted = readFileSync(join(root, 'docker-compose.yml'), 'utf8').matchAll(/\$\{([A-Z_]+):/g)
    for (const [, name] of wanted) assert.ok(variables.includes(name ?? ''), name)
    assert.equal(statSync(join(folder, '.env')).mode & 0o077, 0)
    assert.equal(statSync(join(folder, 'deploy/secrets')).mode & 0o077, 0)
    assert.deepEqual(readdirSync(join(folder, 'deploy/secrets')).sort(), ['ca.crt', 'tls.crt', 'tls.key'])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('the Dockerfile copies every workspace that npm ci reads, and nothing that is not there', () => {
  const dockerfile = readFileSync(join(root, 'deploy/Dockerfile'), 'utf8')
  for (const room of ['packages', 'services']) {
    for (const name of readdirSync(join(root, room))) {
      const line = `COPY ${room}/${name}/package.json ${room}/${name}/`
      assert.ok(dockerfile.includes(line), `missing: ${line}`)
    }
  }
  for (const [, sources = ''] of dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)) {
    for (const source of sources.split(' ')) assert.ok(existsSync(join(root, source)), source)
  }
})
