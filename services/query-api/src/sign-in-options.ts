/**
 * The section `people` of the configuration -> what sign-in is made of: files and secrets read, and each provider's
 * mapping of groups to roles. Refuses to start with a file or a secret that is missing.
 */
import { readFileSync } from 'node:fs'
import { type Config, resolveSecret } from '@portcullis/config'
import type { PeopleRole, ProviderConfig, SignInOptions } from '@portcullis/identity/people'

type People = NonNullable<Config['people']>

export interface ConfiguredSignIn {
  readonly options: Pick<SignInOptions, 'publicUrl' | 'transactionSec' | 'providers'> & {
    /** Undefined where none is configured: `identity.own.key` stands in. */
    readonly key: Buffer | undefined
  }
  /** Role by group, for each provider by name; undefined: as for everybody. */
  readonly roles: ReadonlyMap<string, Readonly<Record<string, PeopleRole>> | undefined>
}

/** Undefined where nobody can sign in. Throws ConfigError, and what reading a file throws. */
export function signInOptionsOf({ people }: Pick<Config, 'people'>): ConfiguredSignIn | undefined {
  if (!people) return undefined
  const all = [...people.oidc, ...people.saml]
  return {
    options: {
      publicUrl: people.publicUrl,
      key: people.key === undefined ? undefined : Buffer.from(resolveSecret(people.key)),
      transactionSec: people.transactionSec,
      providers: [...people.oidc.map(oidcProviderOf), ...people.saml.map(samlProviderOf)],
    },
    roles: new Map(all.map(({ name, roles }) => [name, roles])),
  }
}

function oidcProviderOf({
  title,
  clientSecret,
  ca,
  roles: _,
  ...rest
}: People['oidc'][number]): ProviderConfig {
  return {
    kind: 'oidc',
    ...rest,
    title: title ?? rest.name,
    clientSecret: clientSecret === undefined ? undefined : resolveSecret(clientSecret),
    ca: ca === undefined ? undefined : text(ca),
  }
}

function samlProviderOf(config: People['saml'][number]): ProviderConfig {
  const { title, idp, signing, decryption, ca, roles: _, ...rest } = config
  const pairOf = ({ key, cert }: { key: string; cert: string }) => ({
    key: resolveSecret(key),
    certificate: text(cert),
  })
  return {
    kind: 'saml',
    ...rest,
    title: title ?? rest.name,
    idp: {
      entityId: idp.entityId,
      metadata: idp.metadataFile === undefined ? undefined : text(idp.metadataFile),
      metadataUrl: idp.metadataUrl,
      redirectUrl: idp.redirectUrl,
      postUrl: idp.postUrl,
      certificates: idp.certificates.map(text),
    },
    signing: signing && pairOf(signing),
    decryption: decryption.map(pairOf),
    ca: ca === undefined ? undefined : text(ca),
  }
}

function text(file: string): string {
  return readFileSync(file, 'utf8')
}
