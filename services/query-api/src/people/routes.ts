/**
 * The pages that people see when they sign in, out, or a device in; and where their providers send them back to:
 *
 *   GET  /sign-in                      choose a provider, or see who you are
 *   GET  /sign-in/:provider            off to it
 *   GET  /sign-in/:provider/callback   back from it (OIDC)
 *   POST /sign-in/:provider/acs        back from it (SAML)
 *   GET  /sign-in/:provider/metadata   for who registers us there (SAML)
 *   POST /sign-out
 *   GET  /device, POST /device         device-routes.ts
 *
 * What a request says its host is counts for nothing. Every refusal is an event with its reason, and a page with the number
 * to find it by; the page never says which check it was.
 */
import {
  type Answer,
  formPage,
  type SignIn,
  SignInError,
  type SignInErrorCode,
  safeReturnTo,
  sentenceFor,
} from '@portcullis/identity/people'
import { type Clock, type Identity, identityKey } from '@portcullis/kernel'
import type { Log, Metrics } from '@portcullis/platform/service'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Authenticator } from '../auth.ts'
import { createFailureBudget } from '../failure-budget.ts'
import { ApiError } from '../problems.ts'
import type { DeviceFlow } from './device.ts'
import { deviceRoutes } from './device-routes.ts'
import { pageHeaders } from './html.ts'
import { formOf, show, takeForms, textsOf } from './http.ts'
import type { SignInLog } from './log.ts'
import { choicePage, errorPage, signedInPage, signedOutPage } from './pages.ts'
import { cookieAttributes, cookieName, cookieOf, type Sessions } from './session.ts'
import { requireOwnForm, visitorOf } from './visitor.ts'

export interface PeopleParts {
  readonly signIn: SignIn
  readonly signIns: SignInLog
  readonly sessions: Sessions
  readonly devices: DeviceFlow
  readonly publicUrl: string
  readonly verdictOn: (identity: Identity) => { readonly verdictId: string } | undefined
}

export interface PeopleRouteParts extends PeopleParts {
  readonly auth: Authenticator
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
}

/** Encrypted, with many groups, in base64. What is larger is refused by the library too. */
const answerBytesMax = 1_048_576
const failuresPerMinute = 30
const home = '/sign-in'

export async function peopleRoutes(app: FastifyInstance, parts: PeopleRouteParts): Promise<void> {
  const { signIn, signIns, sessions, publicUrl, auth, log, clock } = parts
  const failures = createFailureBudget(failuresPerMinute, clock)
  const counted = parts.metrics.counter('portcullis_sign_ins_total', 'Sign-ins of people', ['outcome'])
  const hidden = { schema: { hide: true } }
  takeForms(app)
  showErrors(app, log)

  const beginCookie = (provider: string) => cookieName(publicUrl, `portcullis-begin-${provider}`)

  app.get('/sign-in', hidden, async (request, reply) => {
    const { return: returnTo = '', again } = textsOf(request.query)
    const visitor = visitorOf(auth, request)
    if (!visitor || again !== undefined) return show(reply, choicePage(signIn.providers, returnTo || home))
    if (returnTo === '') return show(reply, signedInPage(visitor.session, visitor.role ?? ''))
    return reply.redirect(safeReturnTo(returnTo), 303)
  })

  app.get('/sign-in/:provider', hidden, async (request, reply) => {
    const { provider = '' } = textsOf(request.params)
    const { return: returnTo = home } = textsOf(request.query)
    const begun = await guarded(request, provider, () => signIn.begin(provider, returnTo))
    const maxAgeSec = Math.ceil((begun.expiresAtUs - clock.nowUs()) / 1e6)
    const attributes = cookieAttributes(publicUrl, begun.cookieSameSite)
    reply.header(
      'set-cookie',
      `${beginCookie(provider)}=${begun.transaction}; Max-Age=${maxAgeSec}${attributes}`,
    )
    if (!begun.form) return reply.headers({ 'cache-control': 'no-store' }).redirect(begun.url, 303)
    const { html, contentSecurityPolicy } = formPage(begun.url, begun.form)
    return reply.headers({ ...pageHeaders, 'content-security-policy': contentSecurityPolicy }).send(html)
  })

  app.get('/sign-in/:provider/callback', hidden, (request, reply) =>
    finish(request, reply, { kind: 'query', url: request.url }),
  )
  app.post('/sign-in/:provider/acs', { ...hidden, bodyLimit: answerBytesMax }, (request, reply) => {
    const form = formOf(request)
    const [samlResponse = ''] = form.getAll('SAMLResponse')
    return finish(request, reply, {
      kind: 'form',
      samlResponse,
      relayState: form.get('RelayState') ?? undefined,
    })
  })

  app.get('/sign-in/:provider/metadata', hidden, async (request, reply) => {
    const { provider = '' } = textsOf(request.params)
    return reply.type('application/samlmetadata+xml').send(signIn.metadata(provider))
  })

  app.post('/sign-out', hidden, async (request, reply) => {
    const { origin } = request.headers
    // A form of another site comes without the cookie, and its answer could still take the cookie away.
    if (origin === undefined || origin === publicUrl) reply.header('set-cookie', sessions.removal)
    const visitor = visitorOf(auth, request)
    if (!visitor) return show(reply, signedOutPage())
    requireOwnForm(visitor.session, request, formOf(request), publicUrl)
    const { identity, expiresAtUs: until, provider } = visitor.session.proof
    const { issuer, subject, groups, instance } = identity
    const who = { issuer, subject, groups, instance, provider, until }
    await signIns.append({ kind: 'signed_out', ...who, address: request.ip, requestId: request.id })
    return show(reply, signedOutPage())
  })

  deviceRoutes(app, parts)

  async function finish(request: FastifyRequest, reply: FastifyReply, answer: Answer) {
    const { provider = '' } = textsOf(request.params)
    const { ip: address, id: requestId } = request
    return guarded(request, provider, async () => {
      const cookie = beginCookie(provider)
      const signedIn = await signIn.finish(provider, answer, cookieOf(request.headers.cookie, cookie))
      const started = sessions.start(signedIn)
      if (!started) throw new SignInError('too_large', 'the groups of this person do not fit into a cookie')
      const { identity, expiresAtUs: until } = started.session.proof
      const { issuer, subject, groups, instance } = identity
      const who = { issuer, subject, groups, instance, provider, until, address, requestId }
      const verdict = parts.verdictOn(identity)
      if (verdict) {
        await signIns.record({
          kind: 'refused',
          ...who,
          instance: '',
          reason: 'verdict',
          detail: verdict.verdictId,
        })
        throw new ApiError('forbidden', 'Your access was stopped. Ask whoever runs Portcullis.')
      }
      await signIns.append({ kind: 'signed_in', ...who })
      counted.inc({ outcome: 'signed_in' })
      log.info({ requestId, address, provider, by: identityKey(identity) }, 'signed in')
      const gone = `${cookie}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT${cookieAttributes(publicUrl, 'lax')}`
      reply.header('set-cookie', [started.cookie, gone])
      return reply
        .headers({ 'cache-control': 'no-store' })
        .redirect(signedIn.returnTo === '/' ? home : signedIn.returnTo, 303)
    })
  }

  /**
   * Each failure of a sign-in is counted and told. An address that fails too often is sent away where it brings nothing of
   * ours; whoever began here is heard all the same: behind a balancer all share one address, and nobody may keep them out.
   */
  async function guarded<T>(request: FastifyRequest, provider: string, act: () => Promise<T>): Promise<T> {
    const { ip: address, id: requestId } = request
    const isKnown = signIn.providers.some(({ name }) => name === provider)
    const isBeginning = request.routeOptions.url === '/sign-in/:provider'
    const hasBegun = cookieOf(request.headers.cookie, beginCookie(provider)) !== undefined
    const waitMs = failures.waitMs(address)
    if (waitMs > 0 && !(isKnown && (isBeginning || hasBegun)))
      throw new ApiError('too_many_attempts', 'Too many sign-ins failed from here. Wait a minute.', {
        retryAfterSec: Math.ceil(waitMs / 1000),
      })
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof SignInError)) throw error
      failures.spend(address)
      counted.inc({ outcome: 'refused' })
      const { code: reason, message: detail } = error
      const refusal = { provider: isKnown ? provider : '', address, requestId, reason, detail }
      log.warn(refusal, 'sign-in refused')
      // The trail is not for a stranger to fill; the log has the rest.
      if (waitMs === 0) await signIns.record({ kind: 'refused', ...refusal })
      throw error
    }
  }
}

function showErrors(app: FastifyInstance, log: Log): void {
  app.setErrorHandler((thrown, request, reply) => {
    const { status, title, sentence } = explained(thrown)
    if (status === 500) log.error({ err: thrown, requestId: request.id }, 'a request failed')
    if (thrown instanceof ApiError && thrown.retryAfterSec !== undefined)
      reply.header('retry-after', String(thrown.retryAfterSec))
    return show(reply.code(status), errorPage(title, sentence, request.id))
  })
}

const statusOf: Partial<Record<SignInErrorCode, number>> = {
  unknown_provider: 404,
  ...{ provider_unavailable: 503, replay_memory: 503, config: 503 },
}

function explained(thrown: unknown): { status: number; title: string; sentence: string } {
  const title = 'You are not signed in'
  if (thrown instanceof SignInError)
    return { status: statusOf[thrown.code] ?? 403, title, sentence: sentenceFor(thrown.code) }
  if (thrown instanceof ApiError) {
    const status = { forbidden: 403, too_many_attempts: 429 }[thrown.code as string] ?? 503
    const sentence =
      status === 503 ? 'Sign-in is not possible just now. Try again in a minute.' : thrown.message
    return { status, title: status === 503 ? title : 'This was not done', sentence }
  }
  const status = thrown instanceof Error && 'statusCode' in thrown ? Number(thrown.statusCode) : 500
  return status >= 400 && status < 500
    ? { status, title: 'This was not understood', sentence: 'The request is not one that this page makes.' }
    : { status: 500, title: 'Something failed on our side', sentence: 'Try again in a minute.' }
}
