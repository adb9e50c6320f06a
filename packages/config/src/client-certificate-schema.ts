/** Whom client certificates prove by themselves. */
import { z } from 'zod'

const texts = z.array(z.string().min(1)).min(1)
const isPattern = (text: string) => !text.slice(0, -1).includes('*')

export const clientCertificate = z.strictObject({
  issuer: z
    .string()
    .regex(/^[^|\s]{1,200}$/, 'must have no | and no spaces, at most 200 characters')
    .refine((name) => name !== 'portcullis', 'is the issuer of API keys')
    // Whoever has a certificate would be mistaken for whoever has a token, of an issuer that may only be trusted later.
    .refine((name) => !/^https?:/i.test(name), 'must not be an http or https URL, as issuers of tokens are')
    .describe(
      'Name of the authority, in place of an issuer on every event: `spiffe://acme.example`, or a word. No http or https URL.',
    ),
  subject: z
    .enum(['uri', 'dns', 'commonName'])
    .describe(
      'Which name of the certificate is the subject: its one URI (`spiffe://…`) or a DNS name, both of the subject alternative name, or its one common name.',
    ),
  names: z
    .array(z.string().min(1).refine(isPattern, 'may have "*" at its end only'))
    .min(1)
    .describe(
      'Names that this is for; with `*` at its end all that begin so, such as `spiffe://acme.example/agents/*`.',
    ),
  groups: texts.describe('Groups of these identities.'),
  askForToken: z
    .boolean()
    .default(false)
    .describe(
      'Whether the client is asked for a token all the same. A token then proves; an empty password leaves it to the certificate.',
    ),
})
