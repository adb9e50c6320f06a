/**
 * What is trusted of a SAML provider: its entity id, where it takes requests, the certificates it may sign with. From a
 * metadata document (a file, or an https address that is asked again) or from settings. Its certificates are pinned keys:
 * their dates and issuers are not looked at, as the metadata interoperability profile says. Refuses metadata that is
 * over, of another entity, or whose keys are not RSA of at least 2048 bits.
 */
import { type KeyObject, X509Certificate } from 'node:crypto'
import type { Clock } from '@portcullis/kernel'
import { SignInError } from './errors.ts'
import type { ProviderFetch } from './fetch.ts'
import {
  childrenOf,
  ds,
  everyElement,
  isElement,
  md,
  postBinding,
  redirectBinding,
  textOf,
} from './saml-names.ts'
import { parseXml, type XmlElement } from './xml.ts'

export interface IdpDescription {
  readonly entityId: string
  readonly redirectUrl: string | undefined
  readonly postUrl: string | undefined
  readonly signing: readonly KeyObject[]
}

export interface IdpSource {
  /** Required where the metadata describe several. */
  readonly entityId?: string | undefined
  /** The document itself, or where it is. One of them, or entityId with an address and certificates. */
  readonly metadata?: string | undefined
  readonly metadataUrl?: string | undefined
  readonly redirectUrl?: string | undefined
  readonly postUrl?: string | undefined
  /** PEM; beside those of the metadata, if there are any. */
  readonly certificates?: readonly string[]
}

const limitsOfMetadata = { depthMax: 32, elementsMax: 200_000, comments: 'skip' } as const

/** How long fetched metadata serve, and how much longer while their address is away. */
const freshSec = 3600
const staleSec = 86_400

/** Gives the description as it now is. @throws SignInError config at once, provider_unavailable later */
export function createIdp(
  source: IdpSource,
  fetch: ProviderFetch,
  clock: Pick<Clock, 'nowUs'>,
): () => Promise<IdpDescription> {
  const { metadataUrl } = source
  if (metadataUrl === undefined) {
    const fixed = describe(source, source.metadata, clock.nowUs())
    return async () => fixed
  }
  let known: { description: IdpDescription; atUs: number } | undefined
  let running: Promise<IdpDescription> | undefined
  const load = async (): Promise<IdpDescription> => {
    const answer = await fetch(metadataUrl)
    if (answer.status !== 200) throw new Error(`the metadata's address answered with status ${answer.status}`)
    const description = describe(source, await answer.text(), clock.nowUs())
    known = { description, atUs: clock.nowUs() }
    return description
  }
  return () => {
    const ageSec = known ? (clock.nowUs() - known.atUs) / 1e6 : Number.POSITIVE_INFINITY
    if (known && ageSec < freshSec) return Promise.resolve(known.description)
    running ??= load().finally(() => {
      running = undefined
    })
    return running.catch((cause) => {
      if (known && ageSec < freshSec + staleSec) return known.description
      if (cause instanceof SignInError) throw cause
      throw new SignInError(
        'provider_unavailable',
        `no metadata of the provider: ${(cause as Error).message}`,
      )
    })
  }
}

/** @throws SignInError config */
function describe(source: IdpSource, metadata: string | undefined, nowUs: number): IdpDescription {
  const entity = metadata === undefined ? undefined : entityOf(metadata, source.entityId, nowUs)
  const roles = entity ? childrenOf(entity, md, 'IDPSSODescriptor') : []
  const entityId = entity?.attributes.get('entityID') ?? source.entityId
  if (!entityId || /[|\s]/.test(entityId)) throw config('an entityId without | or spaces is needed')
  const certificates = [...(source.certificates ?? []), ...roles.flatMap(signingCertificates)]
  const signing = certificates.map(rsaKeyOf)
  if (signing.length === 0) throw config('there is no certificate that the provider signs with')
  const redirectUrl = source.redirectUrl ?? locationOf(roles, redirectBinding)
  const postUrl = source.postUrl ?? locationOf(roles, postBinding)
  return { entityId, redirectUrl, postUrl, signing }
}

function entityOf(metadata: string, entityId: string | undefined, nowUs: number): XmlElement {
  const root = parsed(metadata)
  const found = everyElement(root).filter(
    (one) =>
      isElement(one, md, 'EntityDescriptor') &&
      childrenOf(one, md, 'IDPSSODescriptor').length > 0 &&
      (entityId === undefined || one.attributes.get('entityID') === entityId),
  )
  const [entity, ...more] = found
  if (!entity) throw config('the metadata describe no such identity provider')
  if (more.length > 0) throw config('the metadata describe several identity providers: name one by entityId')
  for (const one of [root, entity]) {
    const until = one.attributes.get('validUntil')
    if (until !== undefined && !(Date.parse(until) * 1000 > nowUs))
      throw config('the metadata are over (validUntil)')
  }
  return entity
}

function parsed(metadata: string): XmlElement {
  try {
    return parseXml(metadata.replace(/^\uFEFF/, ''), limitsOfMetadata)
  } catch (cause) {
    throw config(`the metadata cannot be read: ${(cause as Error).message}`)
  }
}

/** Without `use` a key is for both. */
function signingCertificates(role: XmlElement): string[] {
  return childrenOf(role, md, 'KeyDescriptor')
    .filter(({ attributes }) => (attributes.get('use') ?? 'signing') === 'signing')
    .flatMap(everyElement)
    .filter((one) => isElement(one, ds, 'X509Certificate'))
    .map(
      (one) => `-----BEGIN CERTIFICATE-----\n${textOf(one).replace(/\s+/g, '')}\n-----END CERTIFICATE-----\n`,
    )
}

function rsaKeyOf(pem: string): KeyObject {
  try {
    const key = new X509Certificate(pem).publicKey
    if (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048) return key
  } catch {
    throw config('a certificate of the provider cannot be read')
  }
  throw config('a certificate of the provider is not for an RSA key of at least 2048 bits')
}

function locationOf(roles: readonly XmlElement[], binding: string): string | undefined {
  return roles
    .flatMap((role) => childrenOf(role, md, 'SingleSignOnService'))
    .find(({ attributes }) => attributes.get('Binding') === binding)
    ?.attributes.get('Location')
}

function config(why: string): SignInError {
  return new SignInError('config', why)
}
