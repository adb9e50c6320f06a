/** The keys that our own tokens are signed with: which there are, and a new one. The private halves are never shown. */
import { z } from 'zod'
import type { Register } from '../endpoint.ts'
import type { SigningKeys } from '../tokens/signing-keys.ts'
import { isoMicros } from '../time.ts'

const keySchema = z.object({
  keyId: z.string(),
  algorithm: z.string(),
  addedAt: z.string(),
  signs: z.boolean().describe('Whether new tokens are signed with it.'),
  retiresAt: z.string().nullable().describe('When nothing that it signed can be valid any more.'),
})
const rotateBody = z.strictObject({
  reason: z.string().min(1).max(1000).describe('Why, for whoever reads the trail.'),
  retireNow: z
    .boolean()
    .default(false)
    .describe(
      'Refuse what the keys before signed at once, as after a leak. Otherwise it lives out its time.',
    ),
})

export function signingKeyRoutes(register: Register, signingKeys: SigningKeys): void {
  const shown = () =>
    signingKeys.list().map(({ keyId, algorithm, addedAt, retiresAt }) => ({
      keyId,
      algorithm,
      addedAt: isoMicros(addedAt),
      signs: retiresAt === undefined,
      retiresAt: retiresAt === undefined ? null : isoMicros(retiresAt),
    }))
  register({
    method: 'GET',
    url: '/v1/signing-keys',
    tag: 'tokens',
    summary: 'The keys that our own tokens are signed with, latest first',
    role: 'admin',
    answer: { status: 200, schema: z.object({ items: z.array(keySchema) }) },
    handle: async () => ({ items: shown() }),
  })
  register({
    method: 'POST',
    url: '/v1/signing-keys/rotate',
    tag: 'tokens',
    summary: 'Sign with a new key from now on',
    description:
      'The keys before go on to verify until nothing that they signed can live any more, and are retired by themselves then.',
    role: 'admin',
    body: rotateBody,
    example: { reason: 'yearly rotation' },
    answer: { status: 201, schema: z.object({ keyId: z.string(), items: z.array(keySchema) }) },
    async handle({ body, caller }) {
      const keyId = await signingKeys.rotate(caller.actor, body.reason, body.retireNow)
      return { keyId, items: shown() }
    },
  })
}
