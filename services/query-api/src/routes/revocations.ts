/**
 * Revocation: a verdict of kind kill by hand that lasts for as long as what is revoked could be used. It reaches open
 * sessions, and by ancestry every token that was traded from what is revoked.
 */
import { IdentityError, type Prover } from '@portcullis/identity'
import type { Clock } from '@portcullis/kernel'
import { z } from 'zod'
import { rowSchema, verdictColumns } from '../columns.ts'
import type { Register } from '../endpoint.ts'
import { invalid } from '../input.ts'
import { lastExpiryUs, warningAbout } from '../subject-seen.ts'
import type { Trail } from '../trail.ts'
import { type Verdicts, verdictRow } from '../verdicts.ts'
import { idempotencyKeyOf, subjectKinds } from './verdicts.ts'

export interface RevocationParts {
  readonly verdicts: Verdicts
  readonly trail: Trail
  readonly prover: Pick<Prover, 'prove'>
  readonly clock: Clock
  readonly tokenSecMax: number
}

const [identity, instance, , token, delegation] = subjectKinds
const daySec = 86_400
/** The longest that a verdict by hand may hold. */
const longestSec = 366 * daySec
/** Clocks differ, and issuers allow for it. */
const leewaySec = 300

const body = z
  .strictObject({
    subject: z
      .discriminatedUnion('kind', [token, instance, identity, delegation])
      .optional()
      .describe('Whom: one token, one running copy, an identity, or all who act for someone.'),
    token: z
      .string()
      .min(1)
      .max(65_536)
      .optional()
      .describe('In place of `subject`: the token itself, as it was found.'),
    durationSec: z
      .int()
      .min(1)
      .max(longestSec)
      .optional()
      .describe('Where absent: until no token that it is about can be valid any more.'),
    reason: z.string().min(1).max(2000).describe('Why, for whoever reads the trail.'),
  })
  .check(({ value, issues }) => {
    if ((value.subject === undefined) !== (value.token === undefined)) return
    issues.push({ code: 'custom', input: value, path: ['subject'], message: 'give either subject or token' })
  })

const answerSchema = rowSchema(verdictColumns, {
  warning: z.string().optional().describe('It holds, but matches nobody that was ever seen.'),
})

type Subject = z.output<typeof token | typeof instance | typeof identity | typeof delegation>

export function revocationRoutes(register: Register, parts: RevocationParts): void {
  const { verdicts, trail, prover, clock } = parts

  /** Until `expiryUs` is over by anybody's clock; at least a day, since a running copy may be given another token. */
  function endAfter(expiryUs: number): number {
    const nowUs = clock.nowUs()
    const leastUs = nowUs + Math.max(daySec, parts.tokenSecMax) * 1_000_000
    const mostUs = nowUs + longestSec * 1_000_000
    return Math.min(mostUs, Math.max(leastUs, expiryUs + leewaySec * 1_000_000))
  }

  /** Until nothing that it is about can be used any more, by what the trail knows of those that were. */
  async function endOf(subject: Subject): Promise<number> {
    const seenUs = await lastExpiryUs(subject, trail)
    const isOne = subject.kind === 'token' || subject.kind === 'instance'
    // Nobody can say when it ends: the trail does not answer, or has never seen this one token.
    const isUnknown = seenUs === undefined || (seenUs === 0 && isOne)
    return endAfter(isUnknown ? Number.POSITIVE_INFINITY : seenUs)
  }

  /** Of a token that was found; also where it is refused already, as long as it is known whose it was. */
  async function ofToken(found: string): Promise<{ subject: Subject; untilUs: number }> {
    const proof = await prover.prove(found, {}).catch((error: unknown) => {
      if (error instanceof IdentityError && error.proven) return error.proven
      const why = error instanceof IdentityError ? error.message : 'it cannot be judged now'
      throw invalid([{ in: 'body', field: 'token', message: `proves nobody: ${why}` }])
    })
    const { issuer, instance: tokenId } = proof.identity
    return {
      subject: { kind: 'token', issuer, instance: tokenId, id: '' },
      untilUs: endAfter(proof.expiresAtUs),
    }
  }

  register({
    method: 'POST',
    url: '/v1/revocations',
    tag: 'tokens',
    summary: 'Revoke a token, a running copy, an identity or a delegation',
    description:
      'A verdict of kind kill by hand: answers once the control log holds it, ends open sessions within the second, refuses new ones, and reaches every token that was traded from what is revoked. To take it back, lift the verdict. With an Idempotency-Key, trying again gives the first answer.',
    role: 'responder',
    body,
    example: {
      subject: { kind: 'token', issuer: 'https://idp.example', instance: 'jti-1' },
      reason: 'leaked',
    },
    answer: { status: 201, schema: answerSchema },
    async handle({ body: asked, caller, request, reply }) {
      const key = idempotencyKeyOf(request)
      const given = asked.token === undefined ? undefined : await ofToken(asked.token)
      const subject = given?.subject ?? asked.subject
      if (!subject) throw new Error('neither subject nor token came through the check')
      const end =
        asked.durationSec === undefined
          ? { untilUs: given?.untilUs ?? (await endOf(subject)) }
          : { durationUs: asked.durationSec * 1_000_000 }
      const kill = { action: 'kill', target: '', ratePerMinute: 0, cancelRunning: false } as const
      const words = { reason: 'revoked', explanation: asked.reason }
      const { verdict, replayed } = await verdicts.issue({ ...kill, subject, ...words, end }, caller, key)
      if (replayed) reply.header('idempotency-replayed', 'true')
      const warning = await warningAbout(verdict.subject, trail)
      return {
        ...verdictRow(verdict, undefined),
        ...(warning !== undefined && { warning }),
      }
    },
  })
}
