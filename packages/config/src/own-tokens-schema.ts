/** The tokens that Portcullis gives out itself: what they say of their origin, how long they live, what seals their keys. */
import { z } from 'zod'
import { positive, secretRef } from './forms.ts'
import { issuerUrl } from './issuer-schema.ts'

export const ownTokens = z.strictObject({
  issuer: issuerUrl
    .optional()
    .describe(
      '`iss` of the tokens that Portcullis gives out itself: the URL that clients reach the API under. Where absent: `http://` and `api.listen`. All services must agree on it.',
    ),
  audience: z.string().min(1).default('portcullis').describe('`aud` of these tokens.'),
  key: secretRef
    .optional()
    .describe(
      'Reference to 32 random bytes, in base64 or hex, that seal the private halves of the signing keys in the control log. Only the API uses it; where absent, `secrets.sealing` seals them; without either no tokens are given out.',
    ),
  tokenSecMax: positive
    .max(86_400)
    .default(3600)
    .describe('How long such a token may live; never longer than what it is traded for.'),
  ancestorsMax: positive
    .max(32)
    .default(8)
    .describe('How many tokens one may descend from, by trades of trades.'),
})
