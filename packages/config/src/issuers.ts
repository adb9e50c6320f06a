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

/**
 * The same of many, again and again: those of the file are read once, as a certificate that is missing later must not keep
 * others from changing.
 */
export function createVerifierIssuers(ofFile: readonly IssuerSetting[]) {
  const read = new Map(ofFile.map((issuer) => [issuer, verifierIssuer(issuer)]))
  return (issuers: readonly IssuerSetting[]) =>
    issuers.map((issuer) => read.get(issuer) ?? verifierIssuer(issuer))
}

/** Issuers that the file names: those of tokens, and those that people sign in at. */
export function issuersOfFile({ identity, people }: Pick<Config, 'identity' | 'people'>): string[] {
  return [...identity.issuers.map(({ issuer }) => issuer), ...peopleIssuersOf({ people })]
}

/** Issuers that people sign in at; of SAML those whose entity id the file names. */
export function peopleIssuersOf({ people }: Pick<Config, 'people'>): string[] {
  return [
    ...(people?.oidc ?? []).map(({ issuer }) => issuer),
    ...(people?.saml ?? []).flatMap(({ idp }) => idp.entityId ?? []),
  ]
}
