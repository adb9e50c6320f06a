/**
 * The same sign-in with a second real provider, by another hand and another XML library: pysaml2 with xmlsec1. Where
 * PORTCULLIS_PYSAML2 names a Python that has it (pip install pysaml2) and xmlsec1 is there.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@portcullis/kernel'
import { createSignIn, type ProviderConfig } from './index.ts'
import { idpPair, own, publicUrl, refused, type SignInSetting } from './saml-bed.fixture.ts'

const python = process.env.PORTCULLIS_PYSAML2
const skip =
  python === undefined && !process.env.CI ? 'PORTCULLIS_PYSAML2 names no Python with pysaml2' : false

async function startPysaml2(executable: string) {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-pysaml2-'))
  const [key, certificate] = [join(folder, 'idp.key'), join(folder, 'idp.pem')]
  writeFileSync(key, idpPair.keyPem)
  writeFileSync(certificate, idpPair.certPem)
  const script = fileURLToPath(import.meta.resolve('@portcullis/testkit/certificates')).replace(
    'certificates.ts',
    'pysaml2-idp.py',
  )
  const child = spawn(executable, [script, key, certificate, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<Record<string, string>> => {
    const { value, done } = await lines.next()
    if (done) throw new Error('pysaml2 ended')
    return JSON.parse(value)
  }
  const { metadata = '' } = await next()
  return {
    metadata,
    ask: (question: object) => {
      child.stdin.write(`${JSON.stringify(question)}\n`)
      return next()
    },
    stop: async () => {
      child.stdin.end()
      await once(child, 'exit')
    },
  }
}

const idp = python === undefined ? undefined : await startPysaml2(python)
after(() => idp?.stop())

type Said = { sign_response: boolean; sign_assertion: boolean; encrypt: string }

async function come(said: Said, config: SignInSetting['config']) {
  assert.ok(idp)
  const provider: ProviderConfig = {
    kind: 'saml',
    name: 'corp',
    title: 'Corp',
    idp: { metadata: idp.metadata },
    signing: own,
    decryption: [own],
    ...config,
  }
  const signIn = createSignIn({ publicUrl, key: randomBytes(32), providers: [provider], clock: systemClock })
  const begun = await signIn.begin('corp', '/live')
  const request = new URL(begun.url)
  const { response: samlResponse = '', error } = await idp.ask({
    ...said,
    sp_metadata: signIn.metadata('corp'),
    request: request.search.slice(1),
    login: 'alice@corp.example',
  })
  assert.equal(error, undefined)
  const relayState = request.searchParams.get('RelayState') ?? ''
  return signIn.finish('corp', { kind: 'form', samlResponse, relayState }, begun.transaction)
}

const good: [string, Said, SignInSetting['config']][] = [
  ['a signed assertion', { sign_response: false, sign_assertion: true, encrypt: '' }, {}],
  ['a signed response', { sign_response: true, sign_assertion: false, encrypt: '' }, { signed: 'response' }],
  ['both', { sign_response: true, sign_assertion: true, encrypt: '' }, { signed: 'both' }],
  [
    'an encrypted signed assertion',
    { sign_response: false, sign_assertion: true, encrypt: 'aes256-gcm' },
    { mustEncrypt: true },
  ],
  [
    'an encrypted one, both signed',
    { sign_response: true, sign_assertion: true, encrypt: 'aes128-cbc' },
    { signed: 'both' },
  ],
]
for (const [name, said, config] of good) {
  test(`accepted: ${name}`, { skip }, async () => {
    const { person, returnTo } = await come(said, config)
    assert.deepEqual(
      [person.issuer, person.subject, person.name, person.email, person.groups, returnTo],
      [
        'https://pysaml2.test/idp',
        'alice@corp.example',
        "Ålice <&> O'Neil",
        'alice@corp.example',
        ['sre', 'on call'],
        '/live',
      ],
    )
  })
}

test('refused: nothing signed, and triple DES', { skip }, async () => {
  const said = { sign_response: false, sign_assertion: false, encrypt: '' }
  await refused(come(said, { signed: 'either' }), 'unsigned')
  await refused(come({ ...said, sign_assertion: true, encrypt: 'tripledes-cbc' }, {}), 'algorithm')
})
