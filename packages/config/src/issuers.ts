/** A trusted issuer of the configuration -> what a verifier of tokens takes. Apart from the schema: a worker needs no more. */
import { readPem } from './pem.ts'
import type { IssuerSetting } from './schema.ts'
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
