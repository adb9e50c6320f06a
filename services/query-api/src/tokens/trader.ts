/**
 * Trades any proof for a token of our own (RFC 8693). It records every trade, granted or refused, in the log and in the
 * metrics; not in the control log, which is kept for ever (ADR 12). A client hears that its token proves nobody, the log
 * hears why.
 */
import { randomUUID } from 'node:crypto'
import {
  type DpopVerifier,
  type Grant,
  IdentityError,
  mintToken,
  type Presented,
  type Prover,
  type ScopedProof,
  scopeText,
  tradedGrant,
} from '@portcullis/identity'
import type { Clock } from '@portcullis/kernel'
import type { Log, Metrics } from '@portcullis/platform/service'
import type { SentProof } from '../auth.ts'
import { ApiError } from '../problems.ts'
import { stoppedBy, type Verdicts } from '../verdicts.ts'
import { OauthError } from './oauth-error.ts'
import type { SigningKeys } from './signing-keys.ts'
import { createTradeRates, type TradeRates, usualRates } from './trade-rates.ts'
import {
  accessTokenType,
  type KnownTargets,
  readTradeForm,
  requireRoles,
  requireTargets,
} from './trade-form.ts'

export interface Issued {
  readonly access_token: string
  readonly issued_token_type: string
  readonly token_type: 'Bearer' | 'DPoP'
  readonly expires_in: number
  readonly scope: string
}

/** How a trade is asked for. */
export interface Asked {
  readonly address: string
  readonly sent: SentProof
}

export interface Trader {
  /** @throws OauthError, with its reason in the log. */
  trade(form: URLSearchParams, asked: Asked, requestId: string): Promise<Issued>
}

export interface TraderOptions {
  readonly prove: Prover['prove']
  readonly dpop: DpopVerifier
  readonly signingKeys: Pick<SigningKeys, 'current'>
  readonly verdicts: Pick<Verdicts, 'active'>
  readonly own: { readonly issuer: string; readonly audience: string }
  readonly limits: { readonly tokenSecMax: number; readonly ancestorsMax: number }
  /** The targets that there are. */
  readonly targets: KnownTargets
  readonly rates?: TradeRates
  readonly clock: Clock
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>
  readonly metrics: Metrics
}

export function createTrader(options: TraderOptions): Trader {
  const { prove, dpop, signingKeys, verdicts, own, limits, clock, log, metrics } = options
  const rates = createTradeRates(options.rates ?? usualRates, clock)
  const issued = metrics.counter('portcullis_tokens_issued_total', 'Tokens given out', ['delegated'])
  const refused = metrics.counter('portcullis_tokens_refused_total', 'Trades refused', ['error'])

  /** Whose it is, or a refusal that does not say which part was wrong. */
  async function proven(token: string, presented: Presented, whose: string): Promise<ScopedProof> {
    try {
      return await prove(token, presented)
    } catch (cause) {
      if (!(cause instanceof IdentityError)) throw cause
      throw new OauthError('invalid_request', `${whose} proves nobody here`, { cause })
    }
  }

  function refuseRevoked({ identity }: ScopedProof, whose: string): void {
    const by = stoppedBy(verdicts.active(), identity)
    if (!by) return
    const cause = new Error(`verdict ${by.verdictId}`)
    throw new OauthError('invalid_request', `${whose} proves nobody here`, { cause })
  }

  async function granted(form: URLSearchParams, { address, sent }: Asked) {
    rates.admit(address)
    const key = sent.proof === undefined ? undefined : await dpop.verify(sent.proof, sent)
    const presented = { address, ...(key && { keyThumbprint: key.thumbprint }) }
    const { subjectToken, actorToken, wanted, task, lifeSec } = readTradeForm(form)
    const subject = await proven(subjectToken, presented, 'subject_token')
    refuseRevoked(subject, 'subject_token')
    const actor = actorToken === undefined ? undefined : await proven(actorToken, presented, 'actor_token')
    if (actor) refuseRevoked(actor, 'actor_token')
    requireTargets(wanted.targets ?? [], options.targets)
    const nowUs = clock.nowUs()
    const tokenSecMax = Math.min(limits.tokenSecMax, lifeSec ?? Number.POSITIVE_INFINITY)
    const of = { subject, ...(actor && { actor }), wanted, task }
    const traded = tradedGrant(of, { ...limits, tokenSecMax, nowUs })
    requireRoles(wanted.roles ?? [], traded.scope, options.targets)
    rates.spend(traded.identity)
    await key?.spend()
    const bound = key && { confirmation: { ...traded.confirmation, jkt: key.thumbprint } }
    const grant: Grant = { ...traded, ...bound }
    const tokenId = randomUUID()
    const token = await mintToken(grant, { ...own, ...(await signingKeys.current()), nowUs, tokenId })
    return { grant, nowUs, token, tokenId, delegated: actor !== undefined }
  }

  return {
    async trade(form, asked, requestId) {
      try {
        const { grant, nowUs, token, tokenId, delegated } = await granted(form, asked)
        log.info({ requestId, address: asked.address, ...told(grant, tokenId) }, 'token issued')
        issued.inc({ delegated: String(delegated) })
        return issuedOf(grant, token, nowUs)
      } catch (thrown) {
        const error = oauthErrorOf(thrown)
        const why = error.cause instanceof Error ? error.cause.message : error.message
        const by = error.cause instanceof IdentityError ? error.cause.proven?.identity : undefined
        if (provesNobody(error)) rates.failed(asked.address)
        const fields = { requestId, address: asked.address, error: error.code, why }
        if (error.code === 'server_error') log.error({ ...fields, err: thrown }, 'a trade failed')
        else log.warn({ ...fields, ...(by && { identity: `${by.issuer}|${by.subject}` }) }, 'token refused')
        refused.inc({ error: error.code })
        throw error
      }
    },
  }
}

/** What a stranger may try again and again; who was proven and asks for too much is no stranger. */
function provesNobody({ code, cause }: OauthError): boolean {
  return cause instanceof IdentityError && (code === 'invalid_request' || code === 'invalid_dpop_proof')
}

export function issuedOf(grant: Grant, token: string, nowUs: number): Issued {
  return {
    access_token: token,
    issued_token_type: accessTokenType,
    token_type: grant.confirmation ? 'DPoP' : 'Bearer',
    expires_in: Math.floor((grant.expiresAtUs - nowUs) / 1e6),
    scope: scopeText(grant.scope),
  }
}

/** Who got what for which tokens: all that it takes to follow a token back, and never the token. */
export function told({ identity, scope, expiresAtUs }: Grant, tokenId: string) {
  const { issuer, subject, delegation, task, ancestors } = identity
  return {
    // As the trail calls it: `token` is a word that the log redacts.
    instance: tokenId,
    identity: `${issuer}|${subject}`,
    delegation: delegation.map((actor) => `${actor.issuer}|${actor.subject}`),
    ancestors,
    task,
    ...scope,
    expiresAt: new Date(expiresAtUs / 1000).toISOString(),
  }
}

/** Whatever was thrown, as what a client of OAuth understands. */
export function oauthErrorOf(thrown: unknown): OauthError {
  if (thrown instanceof OauthError) return thrown
  if (thrown instanceof IdentityError) {
    const codes = { scope: 'invalid_scope', target: 'invalid_target', dpop: 'invalid_dpop_proof' } as const
    const code = Object.entries(codes).find(([of]) => of === thrown.code)?.[1] ?? 'invalid_request'
    return new OauthError(code, thrown.message, { cause: thrown })
  }
  if (thrown instanceof ApiError && thrown.code !== 'internal')
    return new OauthError('temporarily_unavailable', thrown.message, { cause: thrown })
  return new OauthError('server_error', 'The log has the details.', { cause: thrown })
}
