/** A trusted issuer of the configuration -> what a verifier of tokens takes. Apart from the schema: a worker needs no more. */
import { readPem } from './pem.ts'
import type { Config, IssuerSetting } from './schema.ts'
import { resolveSecret } from './secret.ts'

/** @throws where a certificate cannot be read. */
export function verifierIssuer({ ca, jwksUri, jwksToken, ...issuer }: IssuerSetting) {
  return {
    ...issuer,
    ...(jwksUri !== undefined && { jwksUri }),
    ...(jwksToken !== undefined && { jwksToken: () => resolveSecret(jwksToken) }),
    ...(ca !== undefined && { ca: readPem(ca) }),
  }
}

/** Issuers that the file names: those of tokens, and those that people sign in at. */
export function issuersOfFile({ identity, people }: Pick<Config, 'identity' | 'people'>): string[] {
  return [
    ...identity.issuers.map(({ issuer }) => issuer),
    ...(people?.oidc ?? []).map(({ issuer }) => issuer),
    ...(people?.saml ?? []).flatMap(({ idp }) => idp.entityId ?? []),
  ]
}
