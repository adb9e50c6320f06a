/**
 * Makes what docker-compose.yml needs and the repository must not hold: passwords in `.env`, and a certificate for the
 * Postgres door in deploy/secrets. Never overwrites: what is there stays, and what is missing of `.env` is added. The
 * certificate is for trying things out; for
 * anything else put your own tls.crt and tls.key in its place.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { makeCertificates } from '@portcullis/testkit/certificates'

const { values } = parseArgs({
  options: { root: { type: 'string', default: join(import.meta.dirname, '..') } },
})
const folder = join(values.root, 'deploy/secrets')
// The folder keeps others out; the files inside are read by the container's own user, which has another id.
mkdirSync(folder, { recursive: true, mode: 0o700 })

const password = () => randomBytes(24).toString('base64url')
const key = () => randomBytes(32).toString('base64')
const secrets = {
  ...{ CLICKHOUSE_PASSWORD: password, SHOP_PASSWORD: password, API_TOKEN: password },
  ...{ OWN_KEY: key, SEALING_KEY: key },
}
complete(join(values.root, '.env'), secrets)
if (!existsSync(join(folder, 'tls.crt')) || !existsSync(join(folder, 'tls.key'))) {
  const { server, caPem } = makeCertificates({ validMs: 365 * 86_400_000 })
  make(join(folder, 'tls.crt'), 0o644, () => server.certPem + caPem)
  make(join(folder, 'tls.key'), 0o644, () => server.keyPem)
  make(join(folder, 'ca.crt'), 0o644, () => caPem)
}

function complete(path: string, secrets: Readonly<Record<string, () => string>>): void {
  const known = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const missing = Object.entries(secrets).filter(([name]) => !new RegExp(`^${name}=`, 'm').test(known))
  const lines = missing.map(([name, made]) => `${name}=${made()}\n`)
  const before = known === '' || known.endsWith('\n') ? known : `${known}\n`
  if (missing.length > 0) writeFileSync(path, before + lines.join(''), { mode: 0o600 })
  console.log(
    `${missing.length === 0 ? 'kept' : `made ${missing.map(([name]) => name).join(', ')} of`} ${path}`,
  )
}

function make(path: string, mode: number, text: () => string): void {
  const known = existsSync(path)
  if (!known) writeFileSync(path, text(), { mode })
  console.log(`${known ? 'kept' : 'made'} ${path}`)
}
