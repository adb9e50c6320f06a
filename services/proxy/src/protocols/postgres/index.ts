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
import type { SecureContext } from 'node:tls'
import type {
  ClientConnection,
  Clock,
  Door,
  Protocol,
  Refusal,
  Session,
  TargetAccess,
} from '@portcullis/kernel'
import type { CancelKeys } from './cancel-keys.ts'
import { fatalMessage, refusalMessage } from './deny.ts'
import { openUpstream } from './hosts.ts'
import { createUpstreams, type OpenUpstream } from './orphan-check.ts'
import type { ReadText } from './read-text.ts'
import { type Ending, startRelay } from './relay.ts'
import { reuseReads, type ReusingSource } from './reused-reads.ts'
import { rememberKeys } from './scram-keys.ts'
import { createScrub } from './scrub.ts'
import { type Login, readStartup } from './startup.ts'
import { joinRecords } from './tls-reads.ts'
import type { Upstream } from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'
import { authentication, backend, int32, message, parameterStatus, readyForQuery } from './wire.ts'

export interface PostgresDeps {
  readonly tls: SecureContext | undefined
  readonly tokenBytesMax: number
  readonly statementBytesMax: number
  readonly loginMsMax: number
  readonly cancelKeys: CancelKeys
  /** One for each session: it follows the session's settings, from those that it was opened with. */
  readonly readText: (access: TargetAccess, parameters: Readonly<Record<string, string>>) => ReadText
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
      const { socket } = connection
      let failure: Error | undefined
      socket.on('error', (error) => {
        failure = error
      })
      const late = setTimeout(() => socket.destroy(), deps.loginMsMax)
      try {
        const { tls, tokenBytesMax } = deps
        const opening = await readStartup(socket, connection.head, {
          tls,
          tokenBytesMax,
          loopback: connection.loopback,
        })
        if (opening.kind === 'login') await login(connection, opening, door, () => clearTimeout(late), deps)
        else if (opening.kind === 'cancel')
          await deps.cancelKeys.request(opening.processId, opening.secret, connection.origin.address)
      } catch (error) {
        deps.log.warn(
          { err: error, address: connection.origin.address, failure: failure?.message },
          'connection failed',
        )
      } finally {
        clearTimeout(late)
        socket.end()
      }
    },
  }
}

async function login(
  connection: ClientConnection,
  opening: Login,
  door: Door,
  signedIn: () => void,
  deps: Serving,
): Promise<void> {
  const { target, role, database, token, tls, socket: client } = opening
  client.on('error', (error) => deps.log.warn({ why: error.message, target }, 'client connection failed'))
  const result = await door.login({
    connection,
    protocol: 'postgres',
    target,
    role,
    database,
    token,
    client: opening.parameters.application_name ?? '',
    tls,
  })
  if (isRefusal(result)) return void client.end(refusalMessage(result, 'FATAL'))
  // The client has done its part; how long the target may take is the target's own limit.
  signedIn()
  let ending: Ending = { detail: 'failed' }
  try {
    ending = await serveSession(opening, result, deps)
  } finally {
    result.close(ending.detail, ending.by)
  }
}

async function serveSession(opening: Login, session: Session, deps: Serving): Promise<Ending> {
  let upstream: Upstream
  try {
    upstream = await openTarget(session, opening.parameters, deps)
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    deps.log.warn({ err: error, target: session.target.name, session: session.id }, 'target not reached')
    opening.socket.end(fatalMessage(error.sqlstate, error.message))
    return { detail: `target not reached: ${error.code}` }
  }
  upstream.source.socket.on('error', (error) =>
    deps.log.warn({ why: error.message, session: session.id }, 'target connection failed'),
  )
  const { source, early } = takeOver(opening)
  const client = source.socket
  if (client !== opening.socket)
    client.on('error', (error) =>
      deps.log.warn({ why: error.message, session: session.id }, 'client connection failed'),
    )
  const readText = deps.readText(session.target, opening.parameters)
  let cancel = () => {}
  const key = deps.cancelKeys.issue(opening.minor, upstream.processId, () => cancel())
  try {
    const scrub = createScrub(session.target)
    const settings = Array.from(upstream.parameters, ([name, value]) => {
      readText.setting(name, value)
      return scrub.setting(name, value) ?? parameterStatus(name, value)
    })
    // In one piece: a write for each setting would be most of what a login costs, here and at the client.
    client.write(
      Buffer.concat([
        authentication(0),
        ...upstream.notices.map((notice) => scrub.fields(notice)),
        ...settings,
        message(backend.backendKeyData, int32(key.processId), key.secret),
        readyForQuery(upstream.status),
      ]),
    )
    const relay = startRelay({
      client: source,
      early,
      upstream,
      session,
      scrub,
      readText,
      clock: deps.clock,
      statementBytesMax: deps.statementBytesMax,
      log: deps.log,
    })
    cancel = relay.cancel
    return await relay.over
  } finally {
    readText.leave()
    deps.cancelKeys.revoke(key)
    upstream.source.socket.destroy()
  }
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

/** The client's bytes from here on, and those that had been read too far. */
function takeOver({ socket, reader, tls }: Login): {
  readonly source: ReusingSource
  readonly early: Buffer
} {
  const released = reader.release()
  if (tls) return { source: joinRecords(socket), early: released }
  const { source, early } = reuseReads(socket)
  return { source, early: Buffer.concat([released, early]) }
}

function isRefusal(result: Session | Refusal): result is Refusal {
  return 'reason' in result
}
