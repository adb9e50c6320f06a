/**
 * The gate's API over HTTP. A token goes to the address that it is for and to no other: it follows no redirection. Whatever
 * goes wrong becomes a CliError that names the address.
 */
import { CliError, messageOf, shown } from './errors.ts'

export interface Api {
  readonly url: string
  get<T>(path: string, bearer: string): Promise<T>
  post<T>(path: string, bearer: string, body: object): Promise<T>
  /** `ifMatch`: the version that is to be replaced. */
  put<T>(path: string, bearer: string, body: object, ifMatch?: string): Promise<T>
  delete<T>(path: string, bearer: string, ifMatch?: string): Promise<T>
  /** An answer that comes in lines of JSON, for as long as they keep coming. */
  lines<T>(path: string, bearer: string, body: object): AsyncGenerator<T>
  /** A form to an OAuth endpoint. Its refusals are answers (RFC 6749 section 5.2), not errors. @throws CliError unreachable */
  form(path: string, fields: Readonly<Record<string, string>>): Promise<OauthAnswer>
}

export interface OauthAnswer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

const timeoutMs = 20_000
/** Of an answer that comes in lines. */
const silenceMsMax = 60_000

export function connectApi(url: string, interrupted?: AbortSignal): Api {
  async function ask(path: string, init: RequestInit): Promise<{ status: number; body: unknown }> {
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(interrupted ? [interrupted] : [])])
    let response: Response
    let text: string
    try {
      response = await fetch(`${url}${path}`, { ...init, redirect: 'manual', signal })
      text = await response.text()
    } catch (cause) {
      interrupted?.throwIfAborted()
      throw unreachable(url, cause)
    }
    const body = parsed(text)
    if (body === undefined || (response.status >= 300 && response.status < 400))
      throw strange(url, path, response.status)
    return { status: response.status, body }
  }

  async function call<T>(path: string, bearer: string, init: RequestInit): Promise<T> {
    const headers = { authorization: `Bearer ${bearer}`, accept: 'application/json', ...init.headers }
    const { status, body } = await ask(path, { ...init, headers })
    if (status >= 400) throw ofProblem(url, status, body as Problem)
    return body as T
  }

  return {
    url,
    get: (path, bearer) => call(path, bearer, { method: 'GET' }),
    post: (path, bearer, body) => call(path, bearer, { method: 'POST', ...json(body) }),
    put: (path, bearer, body, ifMatch) => {
      const { headers, ...rest } = json(body)
      return call(path, bearer, { method: 'PUT', ...rest, headers: { ...headers, ...matching(ifMatch) } })
    },
    delete: (path, bearer, ifMatch) => call(path, bearer, { method: 'DELETE', headers: matching(ifMatch) }),
    async *lines<T>(path: string, bearer: string, body: object): AsyncGenerator<T> {
      const silence = new AbortController()
      const timer = setTimeout(() => silence.abort(new DOMException('', 'TimeoutError')), silenceMsMax)
      const signal = AbortSignal.any([silence.signal, ...(interrupted ? [interrupted] : [])])
      const { headers, ...rest } = json(body)
      try {
        const response = await fetch(`${url}${path}`, {
          ...{ method: 'POST', ...rest, redirect: 'manual', signal },
          headers: { ...headers, authorization: `Bearer ${bearer}` },
        })
        const isLines = response.headers.get('content-type')?.startsWith('application/x-ndjson') === true
        if (!response.ok || !isLines || response.body === null) {
          const answer = parsed(await response.text())
          if (response.status >= 400 && answer) throw ofProblem(url, response.status, answer)
          throw strange(url, path, response.status)
        }
        let unfinished = ''
        for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
          timer.refresh()
          const whole = (unfinished + text).split('\n')
          unfinished = whole.pop() ?? ''
          for (const line of whole) yield JSON.parse(line) as T
        }
      } catch (cause) {
        interrupted?.throwIfAborted()
        throw cause instanceof CliError ? cause : unreachable(url, cause)
      } finally {
        clearTimeout(timer)
      }
    },
    async form(path, fields) {
      const { status, body } = await ask(path, { method: 'POST', body: new URLSearchParams(fields) })
      return { status, body: body as OauthAnswer['body'] }
    },
  }
}

function json(body: object) {
  return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
}

function matching(version: string | undefined): Record<string, string> {
  return version === undefined ? {} : { 'if-match': `"${version}"` }
}

/** RFC 9457. */
export interface Problem {
  readonly type?: string
  readonly detail?: string
  readonly requestId?: string
  readonly errors?: readonly { readonly field: string; readonly message: string }[]
}

/** What a problem means to who typed the command. */
export function ofProblem(url: string, status: number, problem: Problem): CliError {
  const code = problem.type?.split(':').at(-1)
  const faults = (problem.errors ?? []).map(({ field, message }) => ` ${field}: ${message}`).join(';')
  const detail = shown(`${problem.detail ?? `status ${status}`}${faults}`)
  const said = `${new URL(url).host} says: ${detail}`
  const id = problem.requestId === undefined ? '' : ` (request ${shown(problem.requestId)})`
  if (status === 401)
    return new CliError(
      'refused',
      `${said}${id}`,
      'sign in again: portcullis login; or check PORTCULLIS_TOKEN',
    )
  if (code === 'invalid_request' && faults !== '')
    return new CliError('usage', said, 'nothing was changed: mend what is named here')
  if (status === 412) return new CliError('refused', said, 'somebody changed it meanwhile: look at it again')
  if (code === 'not_configured')
    return new CliError('not_offered', said, 'whoever runs this gate can configure it')
  if (status === 404 && /\bno approval\b/i.test(detail))
    return new CliError('refused', said, 'portcullis approvals list shows what there is')
  if (status === 409) return new CliError('refused', said, 'nothing was changed: look at how it stands now')
  // The API knows the path, and nothing of this name there.
  if (status === 404 && /^There is no /.test(detail))
    return new CliError('refused', said, 'is the name right?')
  if (status === 404)
    return new CliError('not_offered', `${said}${id}`, 'this gate may be older than this command line')
  if (status === 429)
    return new CliError('unreachable', `${said}${id}`, 'wait a minute: it answers whoever asks less often')
  if (status >= 500)
    return new CliError(
      'unreachable',
      `${said}${id}`,
      'try again later; the log of the API has the request id',
    )
  // What else is refused says itself what stands in the way: another change, another use, the file.
  const hint =
    status === 403
      ? 'portcullis whoami shows who you are there, and your groups'
      : 'nothing was changed: mend what stands in the way'
  return new CliError('refused', `${said}${id}`, hint)
}

function strange(url: string, path: string, status: number): CliError {
  return new CliError(
    'unreachable',
    `what answers at ${url}${path} is no Portcullis (status ${status})`,
    'check PORTCULLIS_URL or --url: it is the address of the API, by default port 8080',
  )
}

function unreachable(url: string, cause: unknown): CliError {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
  const code = inner instanceof Error && 'code' in inner ? String(inner.code) : ''
  const isTls = /CERT|TLS|SSL|SELF_SIGNED|VERIFY/.test(code)
  const why =
    cause instanceof Error && cause.name === 'TimeoutError' ? 'it took too long' : messageOf(inner) || code
  return new CliError(
    'unreachable',
    `${url} cannot be reached: ${shown(why)}`,
    isTls
      ? "set PORTCULLIS_CA to a PEM file with the certificate of the gate's authority"
      : 'check the address (PORTCULLIS_URL, --url) and the network between',
    { cause },
  )
}

/** Undefined where it is no JSON object. */
function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
