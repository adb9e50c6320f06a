/**
 * The REST API as one Fastify instance: routes, sign-in, errors and the OpenAPI document. It is handed everything that
 * reads or writes, listens nowhere by itself, and answers every error as a problem (RFC 9457).
 */
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import swagger from '@fastify/swagger'
import { type DpopVerifier, dpopAlgorithms, type Prover } from '@portcullis/identity'
import type { Clock } from '@portcullis/kernel'
import type { ControlLog } from '@portcullis/platform/control'
import { type Log, type Metrics, pidHeader } from '@portcullis/platform/service'
import type { Sealer } from '@portcullis/vault'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { type AccessRules, createApprovals } from './approvals/approvals.ts'
import { approvalPages } from './approvals/page-routes.ts'
import type { Authenticator } from './auth.ts'
import { addEndpoint, type Callers, type Register } from './endpoint.ts'
import type { Books } from './live/books.ts'
import { homeRoute } from './home.ts'
import type { Feed } from './live/feed.ts'
import { type PeopleParts, peopleRoutes } from './people/routes.ts'
import { ApiError, apiErrorOf, problemOf } from './problems.ts'
import { approvalRoutes } from './routes/approvals.ts'
import { apiKeyRoutes } from './routes/api-keys.ts'
import { backtestRoutes } from './routes/backtests.ts'
import { commandRoutes } from './routes/commands.ts'
import { controlEventRoutes } from './routes/control-events.ts'
import { type EventStreamOptions, eventRoutes } from './routes/events.ts'
import { findingRoutes } from './routes/findings.ts'
import { grantRoutes } from './routes/grants.ts'
import { identityRoutes } from './routes/identities.ts'
import { policyRoutes } from './routes/policy.ts'
import { revocationRoutes } from './routes/revocations.ts'
import { secretRoutes } from './routes/secrets.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { settingRoutes } from './routes/settings.ts'
import { signInListRoutes } from './routes/sign-ins.ts'
import { signingKeyRoutes } from './routes/signing-keys.ts'
import { sshCaRoute, sshRoutes } from './routes/ssh.ts'
import { targetRoutes } from './routes/targets.ts'
import { tokenRoutes } from './routes/token.ts'
import { verdictRoutes } from './routes/verdicts.ts'
import { whoamiRoute } from './routes/whoami.ts'
import type { SettingsBook, SettingsFile } from './settings/book.ts'
import { settingKinds } from './settings/kinds.ts'
import { createPolicyInForce } from './settings/policy.ts'
import { createSecrets } from './settings/secrets.ts'
import { createSettings } from './settings/settings.ts'
import { type CertifierOptions, createCertifier } from './ssh/certifier.ts'
import { createApiKeys } from './tokens/api-keys.ts'
import type { SigningKeys } from './tokens/signing-keys.ts'
import type { KnownTargets } from './tokens/trade-form.ts'
import type { TradeRates } from './tokens/trade-rates.ts'
import { type SlackParts, slackRoutes } from './slack/routes.ts'
import { createTrader } from './tokens/trader.ts'
import type { ReachableTargets } from './reachable-targets.ts'
import { createIsStopped, refusingStopped } from './stopped.ts'
import type { Trail } from './trail.ts'
import { createVerdicts } from './verdicts.ts'

export interface AppParts {
  /** Undefined where no person can sign in. */
  readonly people?: PeopleParts | undefined
  readonly auth: Authenticator
  readonly trail: Trail
  readonly control: ControlLog
  readonly books: Books
  readonly own: OwnTokenParts
  readonly reachable: ReachableTargets
  readonly settings: SettingsParts
  /** Undefined where no SSH certificates are given out. */
  readonly ssh: Pick<CertifierOptions, 'ca' | 'rules'> | undefined
  /** What access may be asked for; undefined where none. */
  readonly access?: AccessRules | undefined
  /** Undefined where nothing can be answered in Slack. */
  readonly slack?: SlackParts | undefined
  readonly feed: Feed
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** Why it cannot do its work now, empty where it can. */
  readonly problems: () => readonly string[]
  /** Networks of balancers whose X-Forwarded-For is believed; none where absent. */
  readonly forwardedFrom?: readonly string[]
  readonly streams?: Pick<
    EventStreamOptions,
    'bufferedBytesMax' | 'heartbeatMs' | 'streamsMax' | 'streamsPerCallerMax'
  >
}

/** What it takes to give out tokens and keys of our own. */
export interface OwnTokenParts {
  readonly prover: Prover
  /** As the prover, of who calls from where. */
  readonly prove: Prover['prove']
  readonly dpop: DpopVerifier
  readonly signingKeys: SigningKeys
  /** What our tokens name. */
  readonly names: { readonly issuer: string; readonly audience: string }
  readonly limits: { readonly tokenSecMax: number; readonly ancestorsMax: number }
  /** How often tokens are traded; as usual where absent. */
  readonly rates?: TradeRates
  /** That there are now. */
  readonly targets: KnownTargets
  /** Names of the API's static tokens. */
  readonly taken: ReadonlySet<string>
}

/** What it takes to configure by the API. */
export interface SettingsParts {
  readonly file: SettingsFile
  readonly book: Pick<SettingsBook, 'targets'>
  /** Undefined where no master key is configured. */
  readonly sealer: Sealer | undefined
}

export async function createApp(parts: AppParts): Promise<FastifyInstance> {
  const { auth, trail, control, books, feed, clock, log, own } = parts
  const app = fastify({
    bodyLimit: 65_536,
    requestTimeout: 30_000,
    // For the address alone: what a request says its host or scheme is counts for nothing here.
    trustProxy: parts.forwardedFrom?.length ? [...parts.forwardedFrom] : false,
    routerOptions: { maxParamLength: 4_096 },
    exposeHeadRoutes: false,
    return503OnClosing: false,
    forceCloseConnections: true,
    genReqId: ({ headers }) => requestIdOf(headers['x-request-id']),
    // A path that cannot be decoded never reaches a route.
    clientErrorHandler: refuseMalformed,
    frameworkErrors: (error, request, reply) => sendProblem(error, request, reply, log),
  })
  // Inputs are parsed by zod in each endpoint; the schemas given to Fastify only describe.
  app.setValidatorCompiler(() => (value) => ({ value }))
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  readBodies(app)
  answerErrors(app, log)
  const callers: Callers = new WeakMap()
  measure(app, parts.metrics)
  logAccess(app, log, callers)
  await app.register(swagger, { openapi: openapi() })

  const stopping = new AbortController()
  app.addHook('preClose', async () => stopping.abort())
  const verdicts = createVerdicts({ control, books, clock })
  const isStopped = createIsStopped(verdicts, own.prover)
  const unstopped = refusingStopped(auth, isStopped, control)
  const certifier = parts.ssh && createCertifier({ ...parts.ssh, control, verdicts, clock, log })
  const approvals = createApprovals({ control, clock, access: parts.access })
  await app.register(async (v1) => {
    const register: Register = (endpoint) => addEndpoint(v1, unstopped, callers, endpoint)
    whoamiRoute(register)
    targetRoutes(register, parts.reachable, approvals)
    sshRoutes(register, certifier)
    sshCaRoute(v1, certifier)
    sessionRoutes(register, trail)
    commandRoutes(register, trail)
    identityRoutes(register, { trail, books, verdicts, nowUs: clock.nowUs })
    findingRoutes(register, trail)
    verdictRoutes(register, trail, verdicts)
    approvalRoutes(register, { approvals, trail, clock })
    grantRoutes(register, { approvals, rules: parts.access, rolesOf: rolesOf(parts.settings), clock })
    controlEventRoutes(register, trail)
    const { sealer, book, file } = parts.settings
    const inForce = createPolicyInForce(file)
    const kinds = settingKinds(file, book.targets, inForce)
    settingRoutes(register, {
      targets: createSettings(kinds.targets, control),
      issuers: createSettings(kinds.issuers, control),
      roleMappings: createSettings(kinds.roleMappings, control),
      policies: createSettings(kinds.policies, control),
    })
    policyRoutes(register, { control, inForce })
    backtestRoutes(register, {
      ...{ trail, nowUs: clock.nowUs },
      rulesBeside: (document) => inForce(control.state()).rulesBeside(document),
      labelsNow: (name) => book.targets().find((target) => target.name === name)?.labels,
    })
    secretRoutes(register, {
      secrets: createSecrets({
        ...{ control, sealer, targets: book.targets, log },
        ofFile: new Set(parts.settings.file.targets.map(({ name }) => name)),
      }),
      signingKeys: own.signingKeys,
    })
    signInListRoutes(register, trail)
    apiKeyRoutes(register, {
      apiKeys: createApiKeys({ control, taken: own.taken }),
      trail,
      targets: own.targets,
      clock,
    })
    signingKeyRoutes(register, own.signingKeys)
    revocationRoutes(register, {
      ...{ verdicts, trail, clock, prover: own.prover },
      tokenSecMax: own.limits.tokenSecMax,
    })
    eventRoutes(register, {
      ...{ feed, isStopped, nowUs: clock.nowUs, stopping: stopping.signal },
      ...parts.streams,
    })
  })
  const trader = createTrader({ ...own, own: own.names, verdicts, clock, log, metrics: parts.metrics })
  const { people, metrics } = parts
  const { issuer } = own.names
  await app.register(tokenRoutes, { trader, signingKeys: own.signingKeys, issuer, devices: people?.devices })
  if (people) {
    await app.register(peopleRoutes, { ...people, auth: unstopped, clock, log, metrics })
    const { publicUrl } = people
    await app.register(approvalPages, { approvals, auth: unstopped, publicUrl, clock, log })
  }
  if (parts.slack)
    await app.register(slackRoutes, { ...parts.slack, approvals, auth: unstopped, log, metrics })
  openRoutes(app, parts)
  homeRoute(app)
  await app.ready()
  return app
}

function rolesOf({ book }: SettingsParts): (target: string) => readonly string[] | undefined {
  return (target) => {
    const found = book.targets().find(({ name }) => name === target)
    return found && Object.keys(found.roles)
  }
}

/** Many clients name a type for every request: where nothing of it comes, there is no body, which is for the endpoint to judge. */
function readBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else parse(request, body, done)
  })
}

/** For those who watch over the service: no sign-in, and nothing about anyone. */
function openRoutes(app: FastifyInstance, { metrics, problems }: AppParts): void {
  const schema = { hide: true }
  app.get('/healthz', { schema }, async (_, reply) => reply.type('text/plain').send('ok\n'))
  app.get('/readyz', { schema }, async (_, reply) => {
    const why = problems()
    return reply
      .code(why.length === 0 ? 200 : 503)
      .header(pidHeader, process.pid)
      .type('text/plain')
      .send(`${why.join('\n') || 'ready'}\n`)
  })
  app.get('/metrics', { schema }, async (_, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  )
  app.get('/v1', { schema }, async () => ({
    described: '/v1/openapi.json',
    links: Object.keys(app.swagger().paths ?? {}).filter((path) => !path.includes('{')),
  }))
  app.get('/v1/openapi.json', { schema }, async () => app.swagger())
}

function answerErrors(app: FastifyInstance, log: Log): void {
  app.setErrorHandler((thrown, request, reply) => sendProblem(thrown, request, reply, log))
  app.setNotFoundHandler(() => {
    throw new ApiError('not_found', 'No such path or method; see /v1/openapi.json.')
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(headersFor(request))
  })
}

function sendProblem(thrown: unknown, request: FastifyRequest, reply: FastifyReply, log: Log): void {
  const error = apiErrorOf(thrown)
  if (error.code === 'internal') log.error({ err: error.cause, requestId: request.id }, 'a request failed')
  const problem = problemOf(error, request.id)
  reply.headers(headersFor(request))
  if (error.retryAfterSec !== undefined) reply.header('retry-after', String(error.retryAfterSec))
  if (problem.status === 401) reply.header('www-authenticate', challenges)
  reply
    .code(problem.status)
    .header('content-type', 'application/problem+json')
    .send(Buffer.from(JSON.stringify(problem)))
}

/** RFC 6750 section 3, RFC 9449 section 7.1. */
const challenges = `Bearer realm="portcullis", DPoP realm="portcullis", algs="${dpopAlgorithms.join(' ')}"`

function headersFor({ id }: FastifyRequest): Record<string, string> {
  return { 'x-request-id': id, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }
}

/** What is no HTTP reaches no route; the socket gets the answer itself. */
function refuseMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const timedOut = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const refusal = new ApiError(
    'invalid_request',
    timedOut ? 'It took too long to arrive.' : 'It is not HTTP.',
  )
  const body = JSON.stringify(problemOf(refusal, randomUUID()))
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

function measure(app: FastifyInstance, metrics: Metrics): void {
  const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
  const seconds = metrics.histogram('portcullis_api_request_seconds', 'Time to answer', buckets, [
    'method',
    'route',
    'status',
  ])
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none'
    const labels = { method: request.method, route, status: String(reply.statusCode) }
    seconds.observe(labels, reply.elapsedTime / 1000)
  })
}

/** Who read or changed what: the trail of the trail. Paths name rows, never their contents; query strings stay out. */
function logAccess(app: FastifyInstance, log: Log, callers: Callers): void {
  app.addHook('onResponse', async (request, reply) => {
    const caller = callers.get(request)
    if (!caller) return
    const { issuer, subject } = caller.actor
    const path = withoutKeys(request.url.split('?', 1)[0] ?? '')
    const { method, id: requestId } = request
    const ms = Math.round(reply.elapsedTime)
    log.info(
      { requestId, method, path, status: reply.statusCode, ms, by: `${issuer}|${subject}` },
      'answered',
    )
  })
}

/** Whoever wants to have a leaked API key disabled may have put it into the address as it was found. */
function withoutKeys(path: string): string {
  return path.replace(/(pck_[0-9a-f]{16})_[0-9A-Za-z]+/g, '$1_…')
}

function openapi() {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Portcullis',
      version: '1',
      description:
        'The audit trail, behaviour and control of the gate between agents and the systems they work on.',
    },
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        session: { type: 'apiKey', in: 'cookie', name: 'portcullis' },
      },
    },
  } as const
}

/** A caller's own id is kept where it is harmless, so that its log and ours can be laid side by side. */
function requestIdOf(given: string | string[] | undefined): string {
  return typeof given === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(given) ? given : randomUUID()
}
