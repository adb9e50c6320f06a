/**
 * Makes what docker-compose.yml needs and the repository must not hold: passwords in `.env`, and a certificate for the
 * Postgres door in deploy/secrets. Never overwrites: what is there stays. The certificate is for trying things out; for
 * anything else put your own tls.crt and tls.key in its place.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { makeCertificates } from '@portcullis/testkit/certificates'

const { values } = parseArgs({
  options: { root: { type: 'string', default: join(import.meta.dirname, '..') } },
})
const folder = join(values.root, 'deploy/secrets')
// The folder keeps others out; the files inside are read by the container's own user, which has another id.
mkdirSync(folder, { recursive: true, mode: 0o700 })

const secret = () => randomBytes(24).toString('base64url')
const names = ['CLICKHOUSE_PASSWORD', 'SHOP_PASSWORD', 'API_TOKEN']
make(join(values.root, '.env'), 0o600, () => names.map((name) => `${name}=${secret()}\n`).join(''))
if (!existsSync(join(folder, 'tls.crt')) || !existsSync(join(folder, 'tls.key'))) {
  const { server, caPem } = makeCertificates({ validMs: 365 * 86_400_000 })
  make(join(folder, 'tls.crt'), 0o644, () => server.certPem + caPem)
  make(join(folder, 'tls.key'), 0o644, () => server.keyPem)
  make(join(folder, 'ca.crt'), 0o644, () => caPem)
}

function make(path: string, mode: number, text: () => string): void {
  const known = existsSync(path)
  if (!known) writeFileSync(path, text(), { mode })
  console.log(`${known ? 'kept' : 'made'} ${path}`)
}
