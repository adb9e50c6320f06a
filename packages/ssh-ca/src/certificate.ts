/**
 * A short-lived OpenSSH user certificate (OpenSSH's PROTOCOL.certkeys). Pure but for the nonce. What is not granted is not
 * in it: without an extension there is no forwarding, no agent, not even a terminal. It refuses a certificate without
 * principals, which a server would take for any user, and one that never ends.
 */
import { randomBytes } from 'node:crypto'
import type { SshCa } from './ca.ts'
import { SshCaError } from './errors.ts'
import { parsePublicKey } from './public-key.ts'
import { sshString, sshUint32, sshUint64 } from './wire.ts'

/** What a server lets the holder do; each is off unless it is named. */
const extensions = [
  'permit-agent-forwarding',
  'permit-port-forwarding',
  'permit-pty',
  'permit-user-rc',
  'permit-X11-forwarding',
] as const
export type SshExtension = (typeof extensions)[number]

export interface CertificateRequest {
  /** The user's key, as in `id_ed25519.pub`. */
  readonly publicKey: string
  readonly serial: bigint
  /** What the server's log shows of who this is; at most 256 printable characters. */
  readonly keyId: string
  /** Users of the server that the holder may be. */
  readonly principals: readonly string[]
  /** Seconds since 1970 UTC. */
  readonly validAfter: number
  /** Seconds since 1970 UTC; no longer valid from then on. */
  readonly validBefore: number
  /** Networks it is good from, CIDR; all where absent. */
  readonly sourceAddresses?: readonly string[]
  /** The only command that may run. */
  readonly forceCommand?: string
  readonly extensions: readonly SshExtension[]
}

export interface SshCertificate {
  /** As in `id_ed25519-cert.pub`. */
  readonly line: string
  readonly serial: bigint
  readonly validBefore: number
}

const userCertificate = 1
/** More is surely a mistake of units. */
const lifeSecMax = 86_400 * 31

/** @throws SshCaError public_key, request */
export function signUserCertificate(ca: SshCa, request: CertificateRequest): SshCertificate {
  const key = parsePublicKey(request.publicKey)
  check(request)
  const type = certificateType(key.type)
  const keyFields = key.blob.subarray(4 + key.type.length)
  const body = Buffer.concat([
    sshString(type),
    sshString(randomBytes(32)),
    keyFields,
    sshUint64(request.serial),
    sshUint32(userCertificate),
    sshString(request.keyId),
    sshString(Buffer.concat(request.principals.map(sshString))),
    sshUint64(BigInt(request.validAfter)),
    sshUint64(BigInt(request.validBefore)),
    sshString(criticalOptions(request)),
    // A server refuses names that are not in order.
    sshString(Buffer.concat([...new Set(request.extensions)].sort().map((name) => option(name, '')))),
    sshString(''),
    sshString(ca.blob),
  ])
  const blob = Buffer.concat([body, sshString(ca.sign(body))])
  return {
    line: `${type} ${blob.toString('base64')} ${request.keyId.replace(/\s/g, '_')}`,
    serial: request.serial,
    validBefore: request.validBefore,
  }
}

function criticalOptions({ forceCommand, sourceAddresses }: CertificateRequest): Buffer {
  return Buffer.concat([
    ...(forceCommand === undefined ? [] : [option('force-command', sshString(forceCommand))]),
    ...(sourceAddresses === undefined
      ? []
      : [option('source-address', sshString(sourceAddresses.join(',')))]),
  ])
}

function option(name: string, data: string | Uint8Array): Buffer {
  return Buffer.concat([sshString(name), sshString(data)])
}

function certificateType(keyType: string): string {
  const [name, vendor] = keyType.split('@')
  return `${name}-cert-v01@${vendor ?? 'openssh.com'}`
}

function check(request: CertificateRequest): void {
  const { principals, keyId, validAfter, validBefore, serial } = request
  const refuse = (why: string) => {
    throw new SshCaError('request', why)
  }
  if (principals.length === 0) refuse('a certificate without principals would be good for every user')
  if (principals.some((name) => !/^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}$/.test(name)))
    refuse('a principal is a user name of letters, digits, "_", ".", "@", "+" or "-"')
  if (!/^[\x20-\x7e]{1,256}$/.test(keyId)) refuse('the key id must be 1 to 256 printable ASCII characters')
  if (!Number.isSafeInteger(validAfter) || !Number.isSafeInteger(validBefore) || validAfter < 0)
    refuse('the times must be whole seconds since 1970')
  if (validBefore <= validAfter) refuse('it would end before it begins')
  if (validBefore - validAfter > lifeSecMax) refuse(`it would live longer than ${lifeSecMax} seconds`)
  if (serial < 0n || serial >= 1n << 64n) refuse('the serial must fit 64 bits')
  if (request.sourceAddresses?.length === 0) refuse('an empty list of source addresses means none at all')
  if (request.sourceAddresses?.some((network) => !/^[0-9a-fA-F:.]+\/\d{1,3}$/.test(network)))
    refuse('a source address must be a network such as 10.0.0.0/8')
  if (request.forceCommand === '') refuse('an empty forced command')
  if (request.extensions.some((name) => !extensions.includes(name))) refuse('an extension that is not known')
}
