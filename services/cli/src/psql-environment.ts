/**
 * The environment in which psql, or any other program of libpq, connects to a target: the token nowhere but there, and
 * nothing of the caller's that would lead it elsewhere. It refuses to send a token over an open network.
 */
import { existsSync } from 'node:fs'
import { CliError } from './errors.ts'
import { splitAddress, type Target } from './gate.ts'
import { isLoopback } from './settings.ts'

/** Where systems keep the authorities they trust. */
const bundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

/** Settings that would take part in where, as whom or how it connects. */
const theirs = [
  ...['PGHOSTADDR', 'PGSERVICE', 'PGSERVICEFILE', 'PGPASSFILE', 'PGTARGETSESSIONATTRS', 'PGLOADBALANCEHOSTS'],
  ...['PGSSLNEGOTIATION', 'PGSSLCRL', 'PGSSLCRLDIR', 'PGREQUIREPEER', 'PGREQUIRESSL', 'PGCHANNELBINDING'],
]

export interface Connecting {
  readonly target: Target
  /** '' for none. */
  readonly role: string
  readonly database: string | undefined
  readonly token: string
}

/** @throws CliError refused */
export function psqlEnvironment(
  { target, role, database, token }: Connecting,
  env: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  const { host, port } = splitAddress(target.address)
  refusePlain(target)
  const rest = Object.fromEntries(
    Object.entries(env).filter(([name]) => !theirs.includes(name) && name !== 'PORTCULLIS_TOKEN'),
  )
  return {
    ...rest,
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: userName(target, role),
    PGPASSWORD: token,
    PGDATABASE: database ?? target.database,
    PGSSLMODE: target.tls ? 'verify-full' : 'disable',
    ...(target.tls && {
      PGSSLROOTCERT: env.PORTCULLIS_CA || bundles.find((path) => existsSync(path)) || 'system',
    }),
    PGGSSENCMODE: 'disable',
    PGREQUIREAUTH: 'password',
  }
}

export function userName({ name }: Target, role: string): string {
  return role === '' ? name : `${name}+${role}`
}

/** @throws CliError refused */
export function refusePlain({ name, tls, address }: Target): void {
  if (tls || isLoopback(splitAddress(address).host)) return
  throw new CliError(
    'refused',
    `the gate's door at ${address} has no TLS, and target ${name} is not on this machine`,
    'whoever runs this gate must set proxy.tls: a token would travel where anyone can read it',
  )
}
