/** Who gets SSH certificates of the user authority: as which users of a server, for how long, to do what. */
import { z } from 'zod'
import { groupRef, positive, secretRef } from './forms.ts'

/** A user name, or one that is made of the subject. */
const principal = z
  .string()
  .regex(
    /^(?:[A-Za-z0-9_][A-Za-z0-9_.@+-]*)?(?:\{subject\}[A-Za-z0-9_.@+-]*)?$/,
    'must be a user name; {subject} in it stands for the subject of who asks',
  )
  .min(1)
  .max(128)

const rule = z.strictObject({
  groups: z
    .array(groupRef)
    .min(1)
    .describe('Groups that it is for, as those of a target; "*" for every proven identity.'),
  issuers: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      'Issuers that it is for, of who asks and of who they act for; any where absent. Needed for {subject}: two issuers may each have a subject of one name.',
    ),
  principals: z
    .array(principal)
    .min(1)
    .max(64)
    .describe(
      'Users of a server that the holder may be. `{subject}` stands for the subject, which never makes root.',
    ),
  lifeSecMax: positive
    .max(86_400 * 31)
    .default(3600)
    .describe('How long a certificate lives at most; never longer than what proved who asks.'),
  extensions: z
    .array(
      z.enum([
        'permit-agent-forwarding',
        'permit-port-forwarding',
        'permit-pty',
        'permit-user-rc',
        'permit-X11-forwarding',
      ]),
    )
    .default(['permit-pty'])
    .describe('What the server lets the holder do.'),
  sourceAddress: z
    .enum(['caller', 'none'])
    .default('caller')
    .describe(
      'caller: good only from the address that asked for it, as the API sees it. none: from anywhere.',
    ),
  hosts: z
    .array(
      z.string().regex(/^[A-Za-z0-9*?._:-]{1,253}$/, 'must be a host name, with * and ? as ssh_config has'),
    )
    .default([])
    .describe('Servers that it is meant for; what `portcullis ssh config` writes. It limits nothing.'),
})

export const ssh = z.strictObject({
  ca: secretRef.describe(
    'Reference to the Ed25519 key of the authority, PEM, as `openssl genpkey -algorithm ed25519` makes it. Only the API uses it.',
  ),
  certificates: z
    .array(rule)
    .min(1)
    .describe('The first rule that fits who asks, and what is asked for, decides.'),
})
