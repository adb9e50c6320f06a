/**
 * A signed assertion -> a Person, if it is for this sign-in, here and now. Pure. Refuses an assertion of another issuer,
 * for another audience, destination, recipient or request, outside of its time, without a bearer confirmation, and a
 * subject that is not one plain stable name. Source: SAML core 2, profiles 4.1.4.
 */
import { SignInError } from './errors.ts'
import { forScreen } from './oidc-person.ts'
import type { Person } from './person.ts'
import { childOf, childrenOf, saml, textOf, theChildOf } from './saml-names.ts'
import type { SignedAssertion } from './saml-response.ts'
import type { XmlElement } from './xml.ts'

export interface SamlAttributeRules {
  /** Attributes (by Name, else by FriendlyName) whose values are the groups; default `groups`. */
  readonly groupsAttribute?: string
  /** Instead of the NameID; must have one value, stable and unique. */
  readonly subjectAttribute?: string | undefined
  readonly nameAttribute?: string
  readonly emailAttribute?: string
  /** Attribute -> the values allowed; one must be there. */
  readonly requiredAttributes?: Readonly<Record<string, readonly string[]>>
}

export interface Expected {
  /** The provider's entity id. */
  readonly issuer: string
  /** Our entity id. */
  readonly audience: string
  /** The address of the assertion consumer service, exact. */
  readonly acsUrl: string
  /** The AuthnRequest's ID; undefined where the provider began. */
  readonly requestId: string | undefined
  readonly nowUs: number
  readonly leewaySec: number
  /** The person must have proven themselves within this time. */
  readonly maxAgeSec?: number | undefined
  /** One of these must be the AuthnContextClassRef. */
  readonly authnContexts?: readonly string[] | undefined
}

export interface AssertedPerson {
  readonly person: Person
  readonly assertionId: string
  /** After this the assertion is refused for its time, leeway included: so long its id must be remembered. */
  readonly endsUs: number
}

/** An answer is at most so old, whatever its conditions allow. */
const answerAgeSecMax = 600
const transient = 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient'
const groupsLink = 'http://schemas.microsoft.com/claims/groups.link'
const nameCharsMax = 512
const groupsMax = 1000

/** @throws SignInError */
export function personOfAssertion(
  { response, assertion }: SignedAssertion,
  expected: Expected,
  rules: SamlAttributeRules,
): AssertedPerson {
  requireResponse(response, expected)
  if (textOf(theChildOf(assertion, saml, 'Issuer')) !== expected.issuer)
    throw new SignInError('wrong_issuer', 'the assertion is of another issuer than configured')
  const issuedUs = requiredTime(assertion, 'IssueInstant')
  requireWithin(issuedUs, issuedUs + answerAgeSecMax * 1e6, expected)
  const subject = theChildOf(assertion, saml, 'Subject')
  const confirmedUntilUs = confirmedUntil(subject, expected)
  requireConditions(theChildOf(assertion, saml, 'Conditions'), expected)
  const authn = authnOf(assertion, expected)
  const attributes = attributesOf(assertion)
  requireAttributes(attributes, rules)
  const endsUs = Math.min(confirmedUntilUs, issuedUs + answerAgeSecMax * 1e6) + expected.leewaySec * 1e6
  return {
    assertionId: assertion.attributes.get('ID') ?? '',
    endsUs,
    person: {
      issuer: expected.issuer,
      subject: subjectOf(subject, attributes, rules),
      groups: groupsOf(attributes, rules.groupsAttribute ?? 'groups'),
      name: forScreen(attributes.get(rules.nameAttribute ?? 'displayName')?.[0]),
      email: forScreen(attributes.get(rules.emailAttribute ?? 'email')?.[0]),
      amr: [],
      ...authn,
    },
  }
}

function requireResponse(response: XmlElement, expected: Expected): void {
  const issuer = childOf(response, saml, 'Issuer')
  if (issuer && textOf(issuer) !== expected.issuer)
    throw new SignInError('wrong_issuer', 'the response is of another issuer than configured')
  const destination = response.attributes.get('Destination')
  // Required where the response is signed (bindings 3.5.5.2); every provider sends it.
  if (destination !== expected.acsUrl)
    throw new SignInError('wrong_destination', 'the response is for another destination than this one')
  requireRequest(response.attributes.get('InResponseTo'), expected)
}

function requireRequest(inResponseTo: string | undefined, { requestId }: Expected): void {
  if (inResponseTo === requestId) return
  throw requestId === undefined
    ? new SignInError('wrong_request', 'the answer is to a request, which this browser has not made')
    : new SignInError('wrong_request', 'the answer is not to the request of this sign-in')
}

/** Until when the bearer confirmation holds, without leeway. Every confirmation of another method counts for nothing. */
function confirmedUntil(subject: XmlElement, expected: Expected): number {
  const bearers = childrenOf(subject, saml, 'SubjectConfirmation').filter(
    ({ attributes }) => attributes.get('Method') === 'urn:oasis:names:tc:SAML:2.0:cm:bearer',
  )
  const [bearer, ...more] = bearers
  if (!bearer || more.length > 0)
    throw new SignInError('structure', 'the assertion has not exactly one bearer confirmation')
  const data = theChildOf(bearer, saml, 'SubjectConfirmationData')
  if (data.attributes.get('Recipient') !== expected.acsUrl)
    throw new SignInError('wrong_recipient', 'the assertion is for another recipient than this one')
  requireRequest(data.attributes.get('InResponseTo'), expected)
  const untilUs = requiredTime(data, 'NotOnOrAfter')
  requireWithin(time(data, 'NotBefore'), untilUs, expected)
  return untilUs
}

function requireConditions(conditions: XmlElement, expected: Expected): void {
  requireWithin(time(conditions, 'NotBefore'), time(conditions, 'NotOnOrAfter'), expected)
  const restrictions = childrenOf(conditions, saml, 'AudienceRestriction')
  if (restrictions.length === 0)
    throw new SignInError('wrong_audience', 'the assertion is not restricted to an audience')
  for (const restriction of restrictions)
    if (!childrenOf(restriction, saml, 'Audience').some((one) => textOf(one) === expected.audience))
      throw new SignInError('wrong_audience', 'the assertion is for another audience than this one')
  for (const { name } of conditions.children)
    if (!['AudienceRestriction', 'OneTimeUse', 'ProxyRestriction'].includes(name))
      throw new SignInError('structure', 'the assertion has a condition that is not understood')
}

function authnOf(
  assertion: XmlElement,
  expected: Expected,
): Pick<Person, 'authTimeUs' | 'acr' | 'sessionEndsUs'> {
  const [statement] = childrenOf(assertion, saml, 'AuthnStatement')
  if (!statement) throw new SignInError('structure', 'the assertion does not say that anyone signed in')
  const authTimeUs = requiredTime(statement, 'AuthnInstant')
  const sessionEndsUs = time(statement, 'SessionNotOnOrAfter')
  const leewayUs = expected.leewaySec * 1e6
  if (sessionEndsUs !== undefined && sessionEndsUs + leewayUs <= expected.nowUs)
    throw new SignInError('expired', 'the session at the provider is over')
  if (expected.maxAgeSec !== undefined && authTimeUs + expected.maxAgeSec * 1e6 + leewayUs < expected.nowUs)
    throw new SignInError('too_weak', `the person signed in longer than ${expected.maxAgeSec} s ago`)
  const context = childOf(statement, saml, 'AuthnContext')
  const reference = context && childOf(context, saml, 'AuthnContextClassRef')
  const acr = reference && textOf(reference)
  if (expected.authnContexts && !expected.authnContexts.includes(acr ?? ''))
    throw new SignInError('too_weak', 'the person signed in by none of the configured methods')
  return { authTimeUs, sessionEndsUs, acr }
}

function subjectOf(subject: XmlElement, attributes: Attributes, rules: SamlAttributeRules): string {
  if (rules.subjectAttribute !== undefined) {
    const [value, ...more] = attributes.get(rules.subjectAttribute) ?? []
    if (value === undefined || more.length > 0)
      throw new SignInError('claim_missing', `the assertion has not exactly one ${rules.subjectAttribute}`)
    return plainName(value, rules.subjectAttribute)
  }
  const nameId = theChildOf(subject, saml, 'NameID')
  if (nameId.attributes.get('Format') === transient)
    throw new SignInError(
      'claim_invalid',
      'the NameID is transient: the same person would be another one each time; have the provider send a persistent one, or name a subjectAttribute',
    )
  return plainName(textOf(nameId), 'NameID')
}

type Attributes = ReadonlyMap<string, readonly string[]>

function attributesOf(assertion: XmlElement): Attributes {
  const values = new Map<string, string[]>()
  const list = childrenOf(assertion, saml, 'AttributeStatement').flatMap((statement) =>
    childrenOf(statement, saml, 'Attribute'),
  )
  for (const attribute of list) {
    const found = childrenOf(attribute, saml, 'AttributeValue')
      .filter(({ children }) => children.length === 0)
      .map(textOf)
    const name = attribute.attributes.get('Name') ?? ''
    values.set(name, [...(values.get(name) ?? []), ...found])
  }
  // A friendly name is for people, and no name of another attribute may be taken by it.
  for (const attribute of list) {
    const friendly = attribute.attributes.get('FriendlyName')
    if (friendly !== undefined && !values.has(friendly))
      values.set(friendly, values.get(attribute.attributes.get('Name') ?? '') ?? [])
  }
  return values
}

function requireAttributes(attributes: Attributes, { requiredAttributes = {} }: SamlAttributeRules): void {
  for (const [name, allowed] of Object.entries(requiredAttributes))
    if (!attributes.get(name)?.some((value) => allowed.includes(value)))
      throw new SignInError('not_allowed', `attribute ${name} has none of the values that are allowed`)
}

function groupsOf(attributes: Attributes, name: string): string[] {
  const values = attributes.get(name)
  // Microsoft Entra sends this instead of more than 150 groups: a list that was cut off is not an empty one.
  if (!values && attributes.has(groupsLink))
    throw new SignInError(
      'claim_missing',
      'the provider left out the groups, since this person has too many: have it send only those assigned to this application',
    )
  if (!values) return []
  if (values.length > groupsMax)
    throw new SignInError('claim_invalid', `the assertion names more than ${groupsMax} groups`)
  return [...new Set(values.filter((value) => value !== '').map((value) => plainName(value, name)))]
}

/** As for a workload's token: nothing that does not show, or that two names could share. */
function plainName(value: string, what: string): string {
  if (value === '' || value.length > nameCharsMax || !value.isWellFormed())
    throw new SignInError('claim_invalid', `${what} is empty or longer than ${nameCharsMax} characters`)
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value))
    throw new SignInError('claim_invalid', `${what} holds characters that do not show`)
  return value
}

function requireWithin(fromUs: number | undefined, untilUs: number | undefined, expected: Expected): void {
  const leewayUs = expected.leewaySec * 1e6
  if (fromUs !== undefined && expected.nowUs + leewayUs < fromUs)
    throw new SignInError('not_yet_valid', 'the assertion is not valid yet: compare the clocks')
  if (untilUs !== undefined && expected.nowUs - leewayUs >= untilUs)
    throw new SignInError('expired', 'the assertion is not valid any more')
}

function requiredTime(element: XmlElement, name: string): number {
  const us = time(element, name)
  if (us === undefined) throw new SignInError('malformed', `${element.name} has no ${name}`)
  return us
}

/** SAML core 1.3.3: UTC, and no other time zone. */
function time(element: XmlElement, name: string): number | undefined {
  const text = element.attributes.get(name)
  if (text === undefined) return undefined
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms)) throw new SignInError('malformed', `${name} of ${element.name} is not a time in UTC`)
  return ms * 1000
}
