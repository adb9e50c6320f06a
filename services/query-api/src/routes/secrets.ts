/** Secrets that targets sign in with, sealed in the control log. What is put here is never shown again, to nobody. */
import { aimAddress } from '@portcullis/config'
import { Secret } from '@portcullis/vault'
import { z } from 'zod'
import type { Register } from '../endpoint.ts'
import { etagOf, preconditionOf } from '../precondition.ts'
import type { Secrets, ShownSecret } from '../settings/secrets.ts'
import { isoMicros } from '../time.ts'
import type { SigningKeys } from '../tokens/signing-keys.ts'

export interface SecretRouteParts {
  readonly secrets: Secrets
  readonly signingKeys: Pick<SigningKeys, 'renewIfOld'>
}

const path = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be a name such as shop-password'),
})
const secretSchema = z.object({
  name: z.string().describe('Referred to as sealed:NAME.'),
  version: z.int().describe('For If-Match.'),
  sealedAt: z.string().describe('When the value was put.'),
  sealedBy: z.string(),
  keyId: z.string().describe('Id of the master key that holds it.'),
  isOld: z
    .boolean()
    .nullable()
    .describe('Whether another master key seals now; null where none is configured here.'),
  addresses: z
    .array(z.string())
    .nullable()
    .describe('Where targets of the API may send it; null for everywhere, as before this could be said.'),
  usedBy: z.array(z.string()).describe('Targets that sign in with it.'),
})
const common = { tag: 'secrets', role: 'admin' } as const

export function secretRoutes(register: Register, { secrets, signingKeys }: SecretRouteParts): void {
  register({
    ...common,
    method: 'GET',
    url: '/v1/secrets',
    summary: 'Sealed secrets, by name, without their values',
    answer: { status: 200, schema: z.object({ items: z.array(secretSchema) }) },
    handle: async () => ({ items: secrets.list().map(shown) }),
  })
  register({
    ...common,
    method: 'PUT',
    url: '/v1/secrets/:name',
    summary: 'Seal a secret, in place of what is there',
    description:
      'Sealed under the master key (secrets.sealing) before it goes anywhere. The next session signs in with it; open ones are not touched. With If-Match or If-None-Match: * only where it is what you saw.',
    path,
    body: z.strictObject({
      value: z
        .string('must be text')
        .min(1, 'must not be empty')
        .max(32_768, 'must be at most 32768 characters')
        .refine((text) => !text.includes('\0'), 'must have no NUL')
        .describe('Kept sealed, and never shown again.'),
      addresses: z
        .array(aimAddress)
        .max(256)
        .optional()
        .describe(
          'HOST:PORT of targets of the API that may sign in with it, "*" for all. Where absent: as it was; none where it is new. Targets of the file may in any case.',
        ),
    }),
    example: { value: 'the password', addresses: ['shop.internal:5432'] },
    answer: { status: 200, schema: secretSchema },
    async handle({ path: { name }, body: { value, addresses }, caller, request, reply }) {
      const given = { value: new Secret(value), addresses }
      const isNew = await secrets.put(name, given, caller, preconditionOf(request))
      const secret = secrets.get(name)
      if (isNew) reply.code(201)
      reply.header('etag', etagOf(secret.version))
      return shown(secret)
    },
  })
  register({
    ...common,
    method: 'DELETE',
    url: '/v1/secrets/:name',
    summary: 'Remove a sealed secret',
    description: 'Refused while a target signs in with it.',
    path,
    query: z.strictObject({ reason: z.string().max(1000).default('').describe('Why, for the trail.') }),
    answer: { status: 200, schema: z.object({ name: z.string(), removed: z.literal(true) }) },
    async handle({ path: { name }, query: { reason }, caller, request }) {
      await secrets.remove(name, reason, caller, preconditionOf(request))
      return { name, removed: true }
    },
  })
  register({
    ...common,
    method: 'POST',
    url: '/v1/secrets/rewrap',
    summary: 'Seal what is sealed anew, after the master key was rotated',
    description:
      'Each gets a data key and a nonce of its own again. Where the key that seals the signing keys was rotated, a new signing key signs from now on. Once nothing failed, the old master key is needed no longer.',
    body: z.strictObject({
      all: z.boolean().default(false).describe('Also what the current master key holds already.'),
    }),
    example: {},
    answer: {
      status: 200,
      schema: z.object({
        rewrapped: z.array(z.string()),
        failed: z.array(z.object({ name: z.string(), why: z.string() })),
        signingKey: z.string().nullable().describe('Id of the new signing key, if there is one.'),
      }),
    },
    async handle({ body: { all }, caller }) {
      const done = await secrets.rewrap(all ? 'all' : 'old', caller)
      return { ...done, signingKey: (await signingKeys.renewIfOld(caller.actor)) ?? null }
    },
  })
}

function shown({ sealedAt, isOld, addresses, ...secret }: ShownSecret) {
  return {
    ...{ ...secret, sealedAt: isoMicros(sealedAt) },
    ...{ isOld: isOld ?? null, addresses: addresses ?? null },
  }
}
