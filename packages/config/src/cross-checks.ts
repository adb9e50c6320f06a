/**
 * What one key alone cannot tell. It looks at whatever of the file has the right form, so that these mistakes are
 * reported together with those of the schema and not only after they are mended.
 */
import { z } from 'zod'
import { isLoopbackHttp } from './issuer-schema.ts'
import { sharePort } from './addresses.ts'
import { sourceOf } from './forms.ts'
import { configSchema } from './schema.ts'
import { sharedBy } from './shared-issuers.ts'

export type Problem = { readonly path: readonly PropertyKey[]; readonly message: string }

const text = z.string().optional().catch(undefined)
const given = z.unknown().optional()
const credentials = z.object({ user: text, password: text }).catch({})
const { listen, health } = configSchema.shape.proxy.shape
const issuerDraft = z.object({
  issuer: text,
  jwksUri: text,
  requiredClaims: z.record(z.string(), z.unknown()).optional().catch(undefined),
  ...{ subject: given, subjectClaim: given, groups: given, groupsClaim: given },
})
const namedList = z.array(z.object({ name: text }).catch({})).catch([])
const samlList = z
  .array(z.object({ name: text, idp: z.object({ entityId: text }).optional().catch(undefined) }).catch({}))
  .catch([])
const draftSchema = z.object({
  targets: z
    .array(
      z
        .object({
          name: text,
          tls: z.object({ cert: given, key: given }).catch({}),
          credentials,
          roles: z.record(z.string(), z.object({ credentials }).catch({ credentials: {} })).catch({}),
        })
        .catch({ tls: {}, credentials: {}, roles: {} }),
    )
    .catch([]),
  secrets: z
    .object({
      vault: z
        .object({ auth: z.record(z.string(), z.unknown()).optional().catch(undefined) })
        .optional()
        .catch({}),
      aws: z.object({ credentials: given, webIdentity: given }).optional().catch({}),
      kubernetes: given,
      sealing: z
        .object({
          ...{ transit: given, kms: given },
          keys: z
            .array(z.object({ id: text }).catch({}))
            .optional()
            .catch(undefined),
        })
        .optional()
        .catch({}),
    })
    .catch({}),
  identity: z
    .object({
      issuers: z.array(issuerDraft.catch({})).catch([]),
      own: z.object({ issuer: text, key: given }).catch({}).default({}),
    })
    .catch({ issuers: [], own: {} }),
  alerts: z
    .object({
      slack: z.object({ webhook: given, botToken: given, channel: given }).optional().catch(undefined),
      ...{ pagerduty: given, webhook: given },
    })
    .catch({}),
  approvals: z.object({ tell: z.array(z.string()).catch([]) }).catch({ tell: [] }),
  ssh: z
    .object({
      certificates: z
        .array(
          z.object({ issuers: given, principals: z.array(z.string()).catch([]) }).catch({ principals: [] }),
        )
        .catch([]),
    })
    .optional()
    .catch(undefined),
  people: z.object({ oidc: namedList, saml: samlList }).optional().catch(undefined),
  proxy: z
    .object({
      listen: listen.catch({ postgres: '' }),
      health: health.catch(''),
      tls: z
        .object({
          clientCa: given,
          clientCrl: given,
          clientCertificates: z.array(z.object({ issuer: text }).catch({})).catch([]),
        })
        .optional()
        .catch(undefined),
    })
    .catch({ listen: { postgres: '' }, health: '' }),
})
type Draft = z.output<typeof draftSchema>

/** `raw` is the file's content, of any form. */
export function crossChecks(raw: unknown): Problem[] {
  const draft = draftSchema.catch(draftSchema.parse({})).parse(raw)
  return [
    ...ofTargets(draft),
    ...ofSecrets(draft),
    ...ofReferences(draft),
    ...ofIssuers(draft),
    ...ofSlack(draft),
    ...ofApprovals(draft),
    ...ofPeople(draft),
    ...ofSsh(draft),
    ...ofProxy(draft),
    ...ofClientCertificates(draft),
  ]
}

function ofTargets({ targets }: Draft): Problem[] {
  const names = targets.map(({ name }) => name)
  return targets.flatMap(({ name, tls }, index) => {
    const earlier = names.indexOf(name)
    return [
      ...(name !== undefined && earlier < index
        ? [
            {
              path: ['targets', index, 'name'],
              message: `"${name}" is already the name of targets.${earlier}`,
            },
          ]
        : []),
      ...((tls.cert === undefined) !== (tls.key === undefined)
        ? [{ path: ['targets', index, 'tls'], message: 'cert and key go together' }]
        : []),
    ]
  })
}

function ofSecrets({ secrets: { vault, aws, sealing } }: Draft): Problem[] {
  const path = ['secrets', 'vault', 'auth']
  const ways = Object.keys(vault?.auth ?? {})
  return [
    ...(vault?.auth && ways.length !== 1
      ? [{ path, message: 'needs one of token, appRole, kubernetes and jwt, and no second' }]
      : []),
    ...(aws?.credentials !== undefined && aws.webIdentity !== undefined
      ? [{ path: ['secrets', 'aws', 'webIdentity'], message: 'goes without credentials' }]
      : []),
    ...(sealing ? ofSealing(sealing, { vault, aws }) : []),
  ]
}

function ofSealing(
  { keys, transit, kms }: NonNullable<Draft['secrets']['sealing']>,
  { vault, aws }: Pick<Draft['secrets'], 'vault' | 'aws'>,
): Problem[] {
  const path = ['secrets', 'sealing']
  const ids = (keys ?? []).map(({ id }) => id)
  return [
    ...([keys, transit, kms].filter((way) => way !== undefined).length !== 1
      ? [{ path, message: 'needs one of keys, transit and kms, and no second' }]
      : []),
    ...(transit !== undefined && !vault
      ? [{ path: [...path, 'transit'], message: 'needs secrets.vault' }]
      : []),
    ...(kms !== undefined && !aws ? [{ path: [...path, 'kms'], message: 'needs secrets.aws' }] : []),
    ...ids.flatMap((id, index) =>
      id !== undefined && ids.indexOf(id) < index
        ? [{ path: [...path, 'keys', index, 'id'], message: `"${id}" is the id of another key` }]
        : [],
    ),
  ]
}

/** Each reference of a target needs a source, and a password that is lent needs the user that it is lent with. */
function ofReferences({ targets, secrets }: Draft): Problem[] {
  return targets.flatMap(({ credentials: own, roles }, index) => {
    const all = [
      { at: ['targets', index, 'credentials'], of: own },
      ...Object.entries(roles).map(([role, { credentials: of }]) => ({
        at: ['targets', index, 'roles', role, 'credentials'],
        of,
      })),
    ]
    return all.flatMap(({ at, of }) => {
      const unserved = (['user', 'password'] as const).flatMap((key) => {
        const source = sourceOf(of[key])
        if (source === undefined || secrets[source] !== undefined) return []
        return [{ path: [...at, key], message: `${of[key]}: needs secrets.${source}` }]
      })
      const lent = /^(vault:(?:[^#]+\/)?creds\/[^#]+)#/.exec(of.password ?? '')?.[1]
      const isAlone = lent !== undefined && !of.user?.startsWith(`${lent}#`)
      const message = `${of.password}: is lent together with its user, ${lent}#username`
      return [...unserved, ...(isAlone ? [{ path: [...at, 'user'], message }] : [])]
    })
  })
}

function ofIssuers({ identity: { issuers, own } }: Draft): Problem[] {
  const urls = issuers.map(({ issuer }) => issuer)
  const twice = own.issuer !== undefined && urls.includes(own.issuer)
  const ofOwn = twice
    ? [{ path: ['identity', 'own', 'issuer'], message: `"${own.issuer}" is a trusted issuer too` }]
    : []
  const ofThem = issuers.flatMap((draft, index) => {
    const { issuer, jwksUri, requiredClaims = {} } = draft
    const at = ['identity', 'issuers', index]
    const pins = sharedBy(issuer ?? '')
    const both = (['subject', 'groups'] as const).filter(
      (key) => draft[key] !== undefined && draft[`${key}Claim`] !== undefined,
    )
    const isSafe = (uri: string) =>
      URL.parse(uri)?.protocol === 'https:' || (isLoopbackHttp(uri) && isLoopbackHttp(issuer ?? ''))
    return [
      ...(jwksUri !== undefined && !isSafe(jwksUri)
        ? [
            {
              path: [...at, 'jwksUri'],
              message: 'must be https (http only where issuer and keys are both on loopback)',
            },
          ]
        : []),
      ...(issuer !== undefined && urls.indexOf(issuer) < index
        ? [{ path: [...at, 'issuer'], message: `"${issuer}" is listed twice` }]
        : []),
      ...(pins.length > 0 && !pins.some((claim) => Object.hasOwn(requiredClaims, claim))
        ? [
            {
              path: [...at, 'requiredClaims'],
              message: `must pin one of ${pins.join(', ')}: anyone in the world gets a token of this issuer`,
            },
          ]
        : []),
      ...both.map((key) => ({
        path: [...at, key],
        message: `and ${key}Claim say the same thing: give one of them`,
      })),
    ]
  })
  return [...ofThem, ...ofOwn]
}

function ofSlack({ alerts: { slack } }: Draft): Problem[] {
  const path = ['alerts', 'slack']
  if (!slack) return []
  if (slack.webhook === undefined && slack.botToken === undefined)
    return [{ path, message: 'needs webhook or botToken' }]
  return slack.botToken !== undefined && slack.channel === undefined
    ? [{ path, message: 'botToken needs a channel' }]
    : []
}

function ofApprovals({ alerts, approvals: { tell } }: Draft): Problem[] {
  return (['pagerduty', 'webhook'] as const).flatMap((sink) => {
    const index = tell.indexOf(sink)
    if (index < 0 || alerts[sink] !== undefined) return []
    return [{ path: ['approvals', 'tell', index], message: `needs alerts.${sink}` }]
  })
}

/** Names are part of addresses, whatever the kind. */
function ofPeople({ people, identity: { own } }: Draft): Problem[] {
  if (!people) return []
  const all = (['oidc', 'saml'] as const).flatMap((kind) =>
    people[kind].map(({ name }, index) => ({ name, path: ['people', kind, index, 'name'] })),
  )
  if (all.length === 0) return [{ path: ['people'], message: 'needs a provider, in oidc or saml' }]
  const keyless =
    own.key === undefined
      ? [{ path: ['people'], message: 'needs identity.own.key, which seals sessions and signs tokens' }]
      : []
  const twice = all.flatMap(({ name, path }, index) => {
    const earlier = all.findIndex((one) => one.name === name)
    if (name === undefined || earlier === index) return []
    const message = `"${name}" is already the name of ${all[earlier]?.path.slice(0, 3).join('.')}`
    return [{ path, message }]
  })
  return [...keyless, ...twice]
}

function ofSsh({ ssh }: Draft): Problem[] {
  return (ssh?.certificates ?? []).flatMap(({ issuers, principals }, index) =>
    issuers === undefined && principals.some((name) => name.includes('{subject}'))
      ? [
          {
            path: ['ssh', 'certificates', index, 'issuers'],
            message: 'is required with {subject}: each issuer says who its subjects are',
          },
        ]
      : [],
  )
}

function ofProxy({ proxy: { listen: door, health: at } }: Draft): Problem[] {
  return sharePort(door.postgres, at)
    ? [{ path: ['proxy', 'health'], message: `${at} is the address of proxy.listen.postgres already` }]
    : []
}

function ofClientCertificates({ proxy: { tls }, people }: Draft): Problem[] {
  if (!tls) return []
  const { clientCa, clientCrl, clientCertificates: rules } = tls
  const ofPersons = (people?.saml ?? []).map(({ idp }) => idp?.entityId)
  const path = ['proxy', 'tls']
  const isAlone = clientCa === undefined && (clientCrl !== undefined || rules.length > 0)
  return [
    ...(isAlone ? [{ path, message: 'clientCrl and clientCertificates need clientCa' }] : []),
    ...rules.flatMap(({ issuer }, index) => {
      if (issuer === undefined || !ofPersons.includes(issuer)) return []
      const message = `"${issuer}" is a provider that people sign in at`
      return [{ path: [...path, 'clientCertificates', index, 'issuer'], message }]
    }),
  ]
}
