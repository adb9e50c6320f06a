/** What Portcullis' own tokens say of their origin, by a configuration. Apart from the schema: a worker needs no more. */
import type { Config } from './schema.ts'

/** `iss` and `aud` of own tokens. */
export function ownTokenNames({ identity: { own }, api }: Pick<Config, 'identity' | 'api'>): {
  readonly issuer: string
  readonly audience: string
} {
  return { issuer: own.issuer ?? `http://${api.listen}`, audience: own.audience }
}
