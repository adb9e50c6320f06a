/** The key of the user certificate authority. Ed25519 alone: there is no reason to make a new one of another kind. */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { SshCaError } from './errors.ts'
import { sshString } from './wire.ts'

export interface SshCa {
  /** The line for a server's TrustedUserCAKeys file. */
  readonly publicKeyLine: string
  readonly blob: Buffer
  /** A signature in SSH's form. */
  sign(data: Uint8Array): Buffer
}

const type = 'ssh-ed25519'

/** `pem`: PKCS #8, as `openssl genpkey -algorithm ed25519` writes it. @throws SshCaError('ca_key') */
export function openSshCa(pem: string): SshCa {
  const key = privateKeyOf(pem)
  if (key.asymmetricKeyType !== 'ed25519')
    throw new SshCaError('ca_key', `the SSH authority's key must be Ed25519, not ${key.asymmetricKeyType}`)
  const { x = '' } = createPublicKey(key).export({ format: 'jwk' })
  const blob = Buffer.concat([sshString(type), sshString(Buffer.from(x, 'base64url'))])
  return {
    publicKeyLine: `${type} ${blob.toString('base64')} portcullis-user-ca`,
    blob,
    sign: (data) => Buffer.concat([sshString(type), sshString(sign(null, data, key))]),
  }
}

function privateKeyOf(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch {
    // The cause could quote the key.
    throw new SshCaError(
      'ca_key',
      "the SSH authority's key does not read: make one with `openssl genpkey -algorithm ed25519`",
    )
  }
}
