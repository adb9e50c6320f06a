/**
 * Signing in by RFC 8628: this side shows a code, a person says yes somewhere else, this side asks until they did. It asks no
 * more often than it is told, backs off where nobody answers, and ends when the code does.
 */
import type { Api, OauthAnswer } from './api.ts'
import { CliError, shown } from './errors.ts'

export interface Prompt {
  readonly userCode: string
  readonly verificationUri: string
  /** With the code in it, where the gate gives one. */
  readonly verificationUriComplete: string | undefined
  readonly expiresInSec: number
}

export interface Granted {
  readonly token: string
  readonly expiresInSec: number
}

export interface DeviceFlowDeps {
  readonly api: Pick<Api, 'form' | 'url'>
  /** Rejects where it is interrupted. */
  readonly sleep: (ms: number) => Promise<void>
  readonly nowMs: () => number
  readonly show: (prompt: Prompt) => void
}

const clientId = 'portcullis-cli'
const grantType = 'urn:ietf:params:oauth:grant-type:device_code'
/** RFC 8628 section 3.2 and 3.5. */
const intervalSecDefault = 5
const slowDownSec = 5
const intervalSecMax = 60

/** @throws CliError refused (somebody said no, or nobody in time), unreachable, not_offered */
export async function signInByDevice({ api, sleep, nowMs, show }: DeviceFlowDeps): Promise<Granted> {
  const asked = await api.form('/v1/device-authorization', { client_id: clientId })
  if (asked.status !== 200) throw notOffered(api.url, asked)
  const { device_code, user_code, verification_uri, verification_uri_complete, expires_in, interval } =
    asked.body
  if (typeof device_code !== 'string' || typeof user_code !== 'string' || !isWebAddress(verification_uri))
    throw malformed(api.url)
  const expiresInSec = typeof expires_in === 'number' && expires_in > 0 ? expires_in : 600
  show({
    userCode: shown(user_code),
    verificationUri: verification_uri,
    verificationUriComplete: isWebAddress(verification_uri_complete) ? verification_uri_complete : undefined,
    expiresInSec,
  })
  const endMs = nowMs() + expiresInSec * 1000
  let intervalSec = typeof interval === 'number' && interval > 0 ? interval : intervalSecDefault
  for (;;) {
    await sleep(intervalSec * 1000)
    if (nowMs() >= endMs) throw overdue()
    const answer = await poll(api, device_code)
    if (answer === 'unanswered') {
      intervalSec = Math.min(intervalSec * 2, intervalSecMax)
      continue
    }
    const { access_token, expires_in: lifeSec, error, error_description } = answer.body
    if (typeof access_token === 'string')
      return { token: access_token, expiresInSec: typeof lifeSec === 'number' ? lifeSec : 0 }
    switch (error) {
      case 'authorization_pending':
        break
      case 'slow_down':
        intervalSec += slowDownSec
        break
      case 'expired_token':
        throw overdue()
      case 'access_denied':
        throw new CliError('refused', 'the sign-in was refused', 'portcullis login asks once more')
      default:
        throw new CliError(
          'refused',
          `${new URL(api.url).host} says: ${shown(String(error_description ?? error ?? `status ${answer.status}`))}`,
          'portcullis login asks once more',
        )
    }
  }
}

/** Nobody answers for a moment, or says that they cannot: the code is good all the same. */
async function poll(api: DeviceFlowDeps['api'], deviceCode: string): Promise<OauthAnswer | 'unanswered'> {
  try {
    const fields = { grant_type: grantType, device_code: deviceCode, client_id: clientId }
    const answer = await api.form('/v1/token', fields)
    return answer.status >= 500 ? 'unanswered' : answer
  } catch (error) {
    if (error instanceof CliError && error.code === 'unreachable') return 'unanswered'
    throw error
  }
}

function isWebAddress(value: unknown): value is string {
  return typeof value === 'string' && ['http:', 'https:'].includes(URL.parse(value)?.protocol ?? '')
}

function notOffered(url: string, { status, body }: OauthAnswer): CliError {
  const why = shown(String(body.error_description ?? body.detail ?? body.error ?? `status ${status}`))
  return new CliError(
    'not_offered',
    `${new URL(url).host} signs nobody in by device: ${why}`,
    'where a token is at hand, set PORTCULLIS_TOKEN; or ask whoever runs this gate to configure people',
  )
}

function malformed(url: string): CliError {
  return new CliError('unreachable', `${url} answered with no device code`, 'check PORTCULLIS_URL or --url')
}

function overdue(): CliError {
  return new CliError(
    'refused',
    'nobody signed in before the code ended',
    'portcullis login gives a new code',
  )
}
