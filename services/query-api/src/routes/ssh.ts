/** SSH certificates, and the key of their authority, which is public. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Register } from '../endpoint.ts'
import { ApiError } from '../problems.ts'
import type { Certifier } from '../ssh/certifier.ts'

const body = z.strictObject({
  publicKey: z
    .string()
    .min(1)
    .max(8192)
    .describe('As in `id_ed25519.pub`; the private half never leaves you.'),
  principals: z
    .array(z.string().min(1).max(128))
    .max(64)
    .default([])
    .describe('Users of the server that you want to be; all that you may where absent.'),
  lifeSec: z
    .int()
    .min(1)
    .optional()
    .describe('How long it shall live; never longer than your rule says, or than your token.'),
  sourceAddress: z
    .literal('caller')
    .optional()
    .describe('Good only from your address, also where your rule does not say so.'),
})

const answer = z.object({
  certificate: z.string().describe('As in `id_ed25519-cert.pub`.'),
  serial: z.string(),
  validBefore: z.int().describe('Seconds since 1970 UTC.'),
  principals: z.array(z.string()),
  hosts: z.array(z.string()).describe('Servers that it is meant for, as patterns of ssh_config.'),
})

export function sshRoutes(register: Register, certifier: Certifier | undefined): void {
  register({
    method: 'POST',
    url: '/v1/ssh/certificates',
    tag: 'ssh',
    summary: 'Have your SSH key certified for a short while',
    description:
      'By the first rule of ssh.certificates that is for you and has what you ask for. It is recorded as a control event before you get it.',
    role: 'anyone',
    body,
    example: { publicKey: 'ssh-ed25519 AAAA… me', principals: ['deploy'], lifeSec: 600 },
    answer: { status: 201, schema: answer },
    async handle({ body: { publicKey, principals, lifeSec, sourceAddress }, caller, request }) {
      const order = { publicKey, principals, lifeSec, pinned: sourceAddress === 'caller' }
      return required(certifier).certify(order, caller, request.ip)
    },
  })
}

/** Whoever runs a server needs it, and it is no secret. */
export function sshCaRoute(app: FastifyInstance, certifier: Certifier | undefined): void {
  const schema = {
    tags: ['ssh'],
    summary: "The line for a server's TrustedUserCAKeys",
    response: { 200: { description: 'Success', content: { 'text/plain': { schema: { type: 'string' } } } } },
  }
  app.get('/v1/ssh/ca', { schema }, async (_request, reply) =>
    reply.type('text/plain').send(`${required(certifier).caLine}\n`),
  )
}

function required(certifier: Certifier | undefined): Certifier {
  if (certifier) return certifier
  throw new ApiError('not_configured', 'No SSH certificates are given out here: the section ssh is missing.')
}
