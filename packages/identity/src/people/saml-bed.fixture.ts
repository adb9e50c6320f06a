/** A service provider of ours and a real identity provider, and a browser between them, for the tests of SAML. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { systemClock } from '@portcullis/kernel'
import { createBrowser, formOf, type Page } from '@portcullis/testkit/browser'
import { makeRsaCertificate } from '@portcullis/testkit/certificates'
import { startSamlProvider, type TestSamlOptions } from '@portcullis/testkit/saml-idp'
import {
  createSignIn,
  type ProviderConfig,
  SignInError,
  type SignInErrorCode,
  type SignIn,
  type UsedOnce,
} from './index.ts'

export const publicUrl = 'http://127.0.0.1:1'
export const acsUrl = `${publicUrl}/sign-in/corp/acs`
export const entityId = `${publicUrl}/sign-in/corp/metadata`
export const idpPair = makeRsaCertificate('Test SAML provider')
export const ownPair = makeRsaCertificate('Portcullis')
export const own = { key: ownPair.keyPem, certificate: ownPair.certPem }

export const people = {
  'alice@corp.example': {
    groups: ['sre', 'on call'],
    displayName: 'Alice Ä. <&> "O\'Neil"',
    email: 'alice@corp.example',
  },
  'admin@corp.example.evil.example': { groups: ['none'] },
}

export type Setting = Partial<Omit<TestSamlOptions, 'acsUrl' | 'people'>>

export const startIdp = (setting: Setting = {}) =>
  startSamlProvider({ acsUrl, people, signAssertion: true, signResponse: false, pair: idpPair, ...setting })

export type SignInSetting = {
  readonly config?: Partial<Extract<ProviderConfig, { kind: 'saml' }>>
  readonly clock?: { nowUs(): number }
  readonly used?: UsedOnce
  readonly key?: Uint8Array
}

export function signInAt(metadataUrl: string, { config, ...setting }: SignInSetting = {}): SignIn {
  const provider: ProviderConfig = {
    kind: 'saml',
    name: 'corp',
    title: 'Corp',
    idp: { metadataUrl },
    ...config,
  }
  return createSignIn({
    publicUrl,
    key: randomBytes(32),
    providers: [provider],
    clock: systemClock,
    ...setting,
  })
}

export interface Arrived {
  readonly samlResponse: string
  readonly relayState: string
  readonly transaction: string
}

/** As far as the form that the provider has the browser post to us. */
export async function answerOf(
  signIn: SignIn,
  login = 'alice@corp.example',
  returnTo = '/',
): Promise<Arrived> {
  const browser = createBrowser()
  const begun = await signIn.begin('corp', returnTo)
  const page = begun.form ? await browser.post(begun.url, begun.form) : await browser.get(begun.url)
  const { action, fields } = formOf(page)
  const answer: Page = await browser.post(action, { ...fields, login })
  assert.equal(answer.status, 200, answer.text)
  const form = formOf(answer)
  assert.equal(form.action, acsUrl)
  return {
    samlResponse: form.fields.SAMLResponse ?? '',
    relayState: form.fields.RelayState ?? '',
    transaction: begun.transaction,
  }
}

export const finish = (signIn: SignIn, { samlResponse, relayState, transaction }: Arrived) =>
  signIn.finish('corp', { kind: 'form', samlResponse, relayState }, transaction)

export const xmlOf = ({ samlResponse }: Arrived) => Buffer.from(samlResponse, 'base64').toString()
export const withXml = (arrived: Arrived, xml: string): Arrived => ({
  ...arrived,
  samlResponse: Buffer.from(xml).toString('base64'),
})

export async function refused(
  work: Promise<unknown>,
  code: SignInErrorCode | readonly SignInErrorCode[],
): Promise<SignInError> {
  const error = await work.then(
    () => assert.fail(`accepted, where ${code} was expected`),
    (error: unknown) => error,
  )
  assert.ok(error instanceof SignInError, error instanceof Error ? error.stack : String(error))
  assert.ok([code].flat().includes(error.code), `${error.code} instead of ${code}: ${error.message}`)
  assert.ok(!/[<>]|corp\.example/.test(error.message), `no XML and no name in the log: ${error.message}`)
  return error
}
