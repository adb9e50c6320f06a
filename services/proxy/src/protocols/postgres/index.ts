/**
 * The Postgres door.
 *
 *   client            listener   startup    door.login     upstream          relay
 *     |-- TLS, StartupMessage ---->|            |             |                |
 *     |<- ask for the token -------|            |             |                |
 *     |-- PasswordMessage -------->|-- token -->|             |                |
 *     |                            |   identity, session      |                |
 *     |                            |   recorded; target ----->|-- SCRAM ... -> server
 *     |<- AuthenticationOk, ParameterStatus*, our own cancel key, ReadyForQuery|
 *     |-- Query / Parse / ... ----------------------------------------------->| units -> gate -> server
 *     |<- rows, tags, errors; refusals as real ErrorResponses ----------------| <- server
 *
 * Refuses replication, tokens in clear from beyond loopback, and every message that would blind the gate.
 */
import type {
  ClientCertificate,
  ClientConnection,
  Clock,
  Door,
  Protocol,
  Refusal,
  Session,
  TargetAccess,
} from '@portcullis/kernel'
import type { Keyed } from '@portcullis/masking'
import type { CancelKey, CancelKeys } from './cancel-keys.ts'
import type { DoorTls } from './client-tls.ts'
import { unreachedMessage, refusalMessage } from './deny.ts'
import { openUpstream } from './hosts.ts'
import { createUpstreams, type OpenUpstream } from './orphan-check.ts'
import type { ReadText } from './read-text.ts'
import { type Ending, type Relay, startRelay } from './relay.ts'
import { reuseReads, type ReusingSource } from './reused-reads.ts'
import { rememberKeys } from './scram-keys.ts'
import { createScrub, type Scrub } from './scrub.ts'
import { type Login, readStartup } from './startup.ts'
import { joinRecords } from './tls-reads.ts'
import type { Upstream } from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'
import { authentication, backend, int32, message, parameterStatus, readyForQuery } from './wire.ts'

export interface PostgresDeps {
  readonly tls: DoorTls | undefined
  /** Whether a client with this certificate is not asked for a token. */
  readonly isEnough: (certificate: ClientCertificate) => boolean
  /** Of the issuers that are trusted now. */
  readonly tokenBytesMax: () => number
  readonly statementBytesMax: number
  readonly loginMsMax: number
  readonly cancelKeys: CancelKeys
  /** One for each session: it follows the session's settings, from those that it was opened with. */
  readonly readText: (access: TargetAccess, parameters: Readonly<Record<string, string>>) => ReadText
  /** For masks by keyed methods; absent where no key is configured. */
  readonly keyed?: Keyed | undefined
  readonly clock: Clock
  readonly log: { warn(fields: object, message: string): void }
}

/** With what one door keeps of its targets. */
type Serving = PostgresDeps & { readonly open: OpenUpstream }

export function createPostgres(given: PostgresDeps): Protocol {
  const derive = rememberKeys(given.clock)
  const open = createUpstreams((access, parameters) => openUpstream(access, parameters, derive))
  const deps: Serving = { ...given, open }
  return {
    name: 'postgres',
    async serve(connection, door) {
      const { source, early } = reuseReads(connection.socket)
      const { socket } = source
      let failure: Error | undefined
      socket.on('error', (error) => {
        failure = error
      })
      const late = setTimeout(() => socket.destroy(), deps.loginMsMax)
      const opener = { connection, source, early, door, signedIn: () => clearTimeout(late) }
      try {
        const begun = await begin(opener, deps)
        await begun?.over
      } catch (error) {
        deps.log.warn(
          { err: error, address: connection.origin.address, failure: failure?.message },
          'connection failed',
        )
      } finally {
        clearTimeout(late)
        // Ended once more it would make an error, with its stack, for nobody.
        if (socket.writable) socket.end()
      }
    },
  }
}

interface Opener {
  readonly connection: ClientConnection
  readonly source: ReusingSource
  /** What had been read of the client before its source was. */
  readonly early: Buffer
  readonly door: Door
  readonly signedIn: () => void
}

/**
 * A session under way. Nothing that waits for its end may have had part in its beginning: a function that waits holds
 * all it was called with, the token among it.
 */
interface Begun {
  readonly over: Promise<void>
}

/** Undefined where it came to no session: whoever is there has been told. */
async function begin(opener: Opener, deps: Serving): Promise<Begun | undefined> {
  const { connection, source, early, door, signedIn } = opener
  const opening = await readStartup(source, Buffer.concat([connection.head, early]), {
    tls: deps.tls,
    isEnough: deps.isEnough,
    tokenBytesMax: deps.tokenBytesMax(),
    loopback: connection.loopback,
  })
  if (opening.kind === 'cancel')
    await deps.cancelKeys.request(opening.processId, opening.secret, connection.origin.address)
  if (opening.kind !== 'login') return undefined
  const session = await login(connection, opening, door, deps)
  if (!session) return undefined
  // The client has done its part; how long the target may take is the target's own limit.
  signedIn()
  const upstream = await reach(opening, session, deps)
  return upstream && { over: relayed(opening, session, upstream, deps) }
}

async function login(
  connection: ClientConnection,
  opening: Login,
  door: Door,
  { log }: Serving,
): Promise<Session | undefined> {
  const { target, role, database, token, tls, certificate } = opening
  const client = opening.source.socket
  client.on('error', (error) => log.warn({ why: error.message, target }, 'client connection failed'))
  const result = await door.login({
    connection,
    protocol: 'postgres',
    target,
    role,
    database,
    token,
    ...(certificate && { certificate }),
    client: opening.parameters.application_name ?? '',
    tls,
  })
  if (!isRefusal(result)) return result
  client.end(refusalMessage(result, 'FATAL'))
  return undefined
}

async function reach(opening: Login, session: Session, deps: Serving): Promise<Upstream | undefined> {
  try {
    return await openTarget(session, opening.parameters, deps)
  } catch (error) {
    const isTold = error instanceof UpstreamError
    session.close(isTold ? `target not reached: ${whyOf(error)}` : 'failed')
    if (!isTold) throw error
    deps.log.warn({ err: error, target: session.target.name, session: session.id }, 'target not reached')
    opening.source.socket.end(unreachedMessage(error, session.id))
    return undefined
  }
}

/** For the trail: what the client is not told. */
function whyOf({ code, message, cause }: UpstreamError): string {
  const why = cause instanceof Error ? cause.message : message
  return `${code}: ${why.slice(0, whyCharsMax)}`
}

const whyCharsMax = 500

/** From the greeting on. Resolves when all of it has ended. */
function relayed(opening: Login, session: Session, upstream: Upstream, deps: Serving): Promise<void> {
  const { source, status, processId } = upstream
  const { log, cancelKeys } = deps
  source.socket.on('error', (error) =>
    log.warn({ why: error.message, session: session.id }, 'target connection failed'),
  )
  const readText = deps.readText(session.target, opening.parameters)
  let relay: Relay | undefined
  const key = cancelKeys.issue(opening.minor, processId, () => relay?.cancel())
  const end = ({ detail, by }: Ending) => {
    readText.leave()
    cancelKeys.revoke(key)
    source.socket.destroy()
    session.close(detail, by)
  }
  try {
    const scrub = createScrub(session.target)
    for (const [name, value] of upstream.parameters) readText.setting(name, value)
    opening.source.socket.write(greeting(upstream, key, scrub))
    const early = opening.reader.release()
    relay = startRelay({
      client: clientOf(opening),
      early,
      upstream: { source, status, cancel: upstream.cancel, drop: upstream.drop },
      settings: upstream.parameters,
      session,
      scrub,
      readText,
      keyed: deps.keyed,
      clock: deps.clock,
      statementBytesMax: deps.statementBytesMax,
      log,
    })
  } catch (error) {
    end({ detail: 'failed' })
    throw error
  }
  return relay.over.then(end)
}

/** Once more where the target refuses credentials that were changed meanwhile. */
async function openTarget(
  session: Session,
  parameters: Readonly<Record<string, string>>,
  deps: Serving,
): Promise<Upstream> {
  try {
    return await deps.open(session.target, parameters)
  } catch (error) {
    const isRefused = error instanceof UpstreamError && error.code === 'sign_in'
    if (!isRefused || !(await session.renewCredentials?.())) throw error
    return deps.open(session.target, parameters)
  }
}

/** What the client sends from here on; what was read too far has been taken out before. */
function clientOf({ source, tls }: Login): ReusingSource {
  return tls ? joinRecords(source.socket) : source
}

/** In one piece: a write for each setting would be most of what a login costs, here and at the client. */
function greeting({ parameters, notices, status }: Upstream, key: CancelKey, scrub: Scrub): Buffer {
  return Buffer.concat([
    authentication(0),
    ...notices.map((notice) => scrub.fields(notice)),
    ...Array.from(parameters, ([name, value]) => scrub.setting(name, value) ?? parameterStatus(name, value)),
    message(backend.backendKeyData, int32(key.processId), key.secret),
    readyForQuery(status),
  ])
}

function isRefusal(result: Session | Refusal): result is Refusal {
  return 'reason' in result
}
