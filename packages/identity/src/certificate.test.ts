import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ClientCertificate } from '@portcullis/kernel'
import { type CertificateRule, createCertificateProver } from './certificate.ts'
import { IdentityError } from './errors.ts'

const clock = { nowUs: () => 1_000, monotonicMs: () => 0 }
const spiffe: CertificateRule = {
  issuer: 'spiffe://acme.example',
  subject: 'uri',
  names: ['spiffe://acme.example/agents/*'],
  groups: ['agents'],
  askForToken: false,
}
const byHost: CertificateRule = { ...spiffe, issuer: 'hosts', subject: 'dns', names: ['ci-1.acme.example'] }
const byName: CertificateRule = { ...spiffe, issuer: 'names', subject: 'commonName', names: ['reports'] }
const prover = createCertificateProver([spiffe, byHost, byName], clock)

function certificateOf(parts: Partial<ClientCertificate>): ClientCertificate {
  const thumbprint = Buffer.alloc(32, 1).toString('base64url')
  return { thumbprint, validUntilUs: 2_000, commonNames: [], uris: [], dnsNames: [], ...parts }
}

function refused(certificate: ClientCertificate, why: RegExp, by = prover): void {
  assert.throws(
    () => by.prove(certificate),
    (error) => error instanceof IdentityError && error.code === 'certificate' && why.test(error.message),
    JSON.stringify(certificate),
  )
}

test('the name that a rule is for is the subject, the certificate is the instance', () => {
  const certificate = certificateOf({
    uris: ['spiffe://acme.example/agents/planner'],
    commonNames: ['reports'],
  })
  assert.deepEqual(prover.prove(certificate), {
    identity: {
      issuer: 'spiffe://acme.example',
      subject: 'spiffe://acme.example/agents/planner',
      groups: ['agents'],
      delegation: [],
      instance: '01'.repeat(32),
      task: '',
      ancestors: [],
    },
    expiresAtUs: 2_000,
    tokenId: '01'.repeat(32),
    scope: {},
  })
  assert.equal(prover.prove(certificateOf({ commonNames: ['reports'] })).identity.issuer, 'names')
  const hosts = certificateOf({ dnsNames: ['other.example', 'ci-1.acme.example'] })
  assert.equal(prover.prove(hosts).identity.subject, 'ci-1.acme.example')
})

test('what no rule names, or names twice, proves nobody', () => {
  for (const parts of [
    {},
    { commonNames: ['report'] },
    { commonNames: ['reports', 'reports2'] },
    { commonNames: ['spiffe://acme.example/agents/planner'] },
    { uris: ['spiffe://acme.example.evil.example/agents/a'] },
    { uris: ['spiffe://acme.example/agents/a', 'spiffe://acme.example/agents/b'] },
    { uris: ['spiffe://acme.example/agents/a', 'https://other.example'] },
    { uris: ['spiffe://acme.example/agents/a\u200b'] },
    { uris: [`spiffe://acme.example/agents/${'a'.repeat(600)}`] },
  ])
    refused(certificateOf(parts), /no rule names anybody/)
})

test('one that is not trusted, or over, proves nobody, and nothing else is asked for', () => {
  const known = { commonNames: ['reports'] }
  for (const parts of [{ problem: 'CERT_REVOKED' }, { validUntilUs: 1_000 }]) {
    const certificate = certificateOf({ ...known, ...parts })
    refused(certificate, /not trusted: (CERT_REVOKED|it is expired)/)
    assert.equal(prover.isEnough(certificate), true)
  }
})

test('a token is asked for where no rule names anybody, or the rule wants one', () => {
  const known = certificateOf({ commonNames: ['reports'] })
  assert.equal(prover.isEnough(known), true)
  assert.equal(prover.isEnough(certificateOf({})), false)
  const asks = createCertificateProver([{ ...byName, askForToken: true }], clock)
  assert.equal(asks.isEnough(known), false)
  assert.equal(asks.prove(known).identity.subject, 'reports')
})
