/** Judged by OpenSSH itself: `ssh-keygen -L` reads what we wrote, and a real sshd with TrustedUserCAKeys lets it in or not. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { missing } from '@portcullis/testkit/missing'
import { newSshKey, sshdBinary, startSshd } from '@portcullis/testkit/sshd'
import fc from 'fast-check'
import { type CertificateRequest, openSshCa, parsePublicKey, signUserCertificate } from './index.ts'

const nowSec = () => Math.floor(Date.now() / 1000)
const hasKeygen = spawnSync('ssh-keygen', ['-?']).error === undefined

function newCa() {
  const { privateKey } = generateKeyPairSync('ed25519')
  return openSshCa(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
}

function workFolder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-ssh-ca-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

function request(publicKey: string, change: Partial<CertificateRequest> = {}): CertificateRequest {
  return {
    publicKey,
    serial: 7n,
    keyId: 'https://idp.example|agent-7 session 01J',
    principals: [userInfo().username],
    validAfter: nowSec() - 60,
    validBefore: nowSec() + 300,
    extensions: [],
    ...change,
  }
}

test('ssh-keygen reads every kind of key back with all that was put in', (t) => {
  if (!hasKeygen) return missing(t, 'ssh-keygen')
  const dir = workFolder(t)
  const ca = newCa()
  const kinds = [
    ['ed25519'],
    ['ecdsa', '-b', '256'],
    ['ecdsa', '-b', '384'],
    ['ecdsa', '-b', '521'],
    ['rsa', '-b', '2048'],
  ]
  for (const [kind = '', ...bits] of kinds) {
    const path = newSshKey(dir, `${kind}${bits.at(-1) ?? ''}`, '-t', kind, ...bits)
    const { line } = signUserCertificate(
      ca,
      request(readFileSync(`${path}.pub`, 'utf8'), {
        sourceAddresses: ['127.0.0.0/8', '::1/128'],
        forceCommand: 'uptime',
        extensions: ['permit-pty', 'permit-agent-forwarding'],
      }),
    )
    writeFileSync(`${path}-cert.pub`, `${line}\n`)
    const shown = execFileSync('ssh-keygen', ['-L', '-f', `${path}-cert.pub`], { encoding: 'utf8' })
    assert.match(shown, /user certificate/)
    assert.match(shown, /Signing CA: ED25519 .* \(using ssh-ed25519\)/)
    assert.match(shown, /Key ID: "https:\/\/idp\.example\|agent-7 session 01J"/)
    assert.match(shown, /Serial: 7\n/)
    assert.match(shown, new RegExp(`Principals: \\n\\s+${userInfo().username}\\n`))
    assert.match(shown, /force-command uptime/)
    assert.match(shown, /source-address 127\.0\.0\.0\/8,::1\/128/)
    assert.match(shown, /Extensions: \n\s+permit-agent-forwarding\n\s+permit-pty\n/)
  }
})

test('a real sshd lets in exactly who was certified, for as long, from where, to do what', async (t) => {
  if (!sshdBinary) return missing(t, 'sshd')
  const dir = workFolder(t)
  const ca = newCa()
  const { value: server, stop } = await startSshd(dir, sshdBinary, ca.publicKeyLine)
  t.after(stop)
  const key = newSshKey(dir, 'user', '-t', 'ed25519')
  const publicKey = readFileSync(`${key}.pub`, 'utf8')
  const attempt = (change: Partial<CertificateRequest>, by = ca, ...options: string[]) => {
    writeFileSync(`${key}-cert.pub`, `${signUserCertificate(by, request(publicKey, change)).line}\n`)
    return server.run(key, ...options)
  }

  const welcome = await attempt({})
  assert.equal(welcome.status, 0, welcome.stderr + server.log())
  assert.equal(welcome.stdout, 'hello\n')
  assert.match(server.log(), /agent-7 session 01J.*serial 7/)

  assert.notEqual((await attempt({}, newCa())).status, 0, 'by another authority')
  assert.notEqual((await attempt({ principals: ['somebody-else'] })).status, 0, 'for another user')
  const past = { validAfter: nowSec() - 600, validBefore: nowSec() - 300 }
  assert.notEqual((await attempt(past)).status, 0, 'when it is over')
  const coming = { validAfter: nowSec() + 300, validBefore: nowSec() + 600 }
  assert.notEqual((await attempt(coming)).status, 0, 'before it begins')
  assert.notEqual((await attempt({ sourceAddresses: ['192.0.2.0/24'] })).status, 0, 'from another network')
  assert.equal((await attempt({ sourceAddresses: ['127.0.0.0/8'] })).status, 0)
  assert.equal((await attempt({ forceCommand: 'echo forced' })).stdout, 'forced\n')

  const forward = ['-o', 'ExitOnForwardFailure=yes', '-W', `127.0.0.1:${server.port}`]
  assert.notEqual((await attempt({}, ca, ...forward)).status, 0, 'a forwarded port that was not granted')
  const granted = await attempt({ extensions: ['permit-port-forwarding'] }, ca, ...forward)
  assert.match(granted.stdout, /^SSH-2\.0/)
})

test('what cannot stand in a certificate is refused with what to do', () => {
  const ca = newCa()
  const { publicKey } = generateKeyPairSync('ed25519')
  const x = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  const blob = Buffer.concat([
    Buffer.from('0000000b', 'hex'),
    Buffer.from('ssh-ed25519'),
    Buffer.from('00000020', 'hex'),
    x,
  ])
  const line = `ssh-ed25519 ${blob.toString('base64')}`
  const code = (change: Partial<CertificateRequest>) => {
    try {
      signUserCertificate(ca, request(line, change))
    } catch (error) {
      return (error as { code: string }).code
    }
    return 'signed'
  }
  assert.equal(code({}), 'signed')
  assert.equal(code({ principals: [] }), 'request')
  assert.equal(code({ principals: ['root,admin'] }), 'request')
  assert.equal(code({ principals: ['*'] }), 'request')
  assert.equal(code({ keyId: 'two\nlines' }), 'request')
  assert.equal(code({ validBefore: nowSec() - 61 }), 'request')
  assert.equal(code({ validBefore: nowSec() + 86_400 * 365 }), 'request')
  assert.equal(code({ sourceAddresses: [] }), 'request')
  assert.equal(code({ sourceAddresses: ['10.0.0.1/8,0.0.0.0/0'] }), 'request')
  assert.equal(code({ forceCommand: '' }), 'request')
  assert.equal(code({ publicKey: 'ssh-dss AAAA' }), 'public_key')
  assert.equal(
    code({ publicKey: `ssh-ed25519 ${Buffer.concat([blob, blob]).toString('base64')}` }),
    'public_key',
  )
  assert.equal(code({ publicKey: `ssh-rsa ${blob.toString('base64')}` }), 'public_key')
  assert.equal(code({ publicKey: `ssh-ed25519 ${blob.subarray(0, -1).toString('base64')}` }), 'public_key')
  assert.throws(() => openSshCa('no key'), /openssl genpkey/)
})

test('no bytes make the key reader do anything but refuse or read a whole key', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('ssh-ed25519', 'ssh-rsa', 'ecdsa-sha2-nistp256'),
      fc.uint8Array(),
      (type, bytes) => {
        try {
          parsePublicKey(`${type} ${Buffer.from(bytes).toString('base64')}`)
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'public_key')
        }
      },
    ),
  )
})
