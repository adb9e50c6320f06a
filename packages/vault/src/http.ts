/**
 * One exchange with a source of secrets. Refuses redirects (a token would go along), answers above a size, and to wait:
 * the time is over the whole exchange. Its errors name the server and never a header, a body or a query.
 */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { VaultError } from './errors.ts'

export interface Ask {
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly timeoutMs: number
  /** PEM; the system's store where absent. */
  readonly ca?: string | undefined
}

export interface Answer {
  readonly status: number
  readonly text: string
}

const bytesMax = 1_048_576

/** Any status is an answer. Rejects with VaultError('unavailable') or ('malformed'). */
export function exchange(url: URL, { method, headers, body, timeoutMs, ca }: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      method,
      headers: {
        accept: 'application/json',
        'user-agent': 'portcullis',
        connection: 'close',
        ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
        ...headers,
      },
      ...(ca === undefined ? {} : { ca }),
    })
    const fail = (code: 'unavailable' | 'malformed', why: string) => {
      clearTimeout(timer)
      reject(new VaultError(code, `${url.origin} ${why}`))
      request.destroy()
    }
    const timer = setTimeout(() => fail('unavailable', `did not answer within ${timeoutMs} ms`), timeoutMs)
    request.on('error', (error) => fail('unavailable', `cannot be reached: ${reasonOf(error)}`))
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > bytesMax) fail('malformed', `answered with more than ${bytesMax} bytes`)
        else chunks.push(chunk)
      })
      response.on('error', (error) => fail('unavailable', `broke off: ${reasonOf(error)}`))
      response.on('end', () => {
        clearTimeout(timer)
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') })
      })
    })
    request.end(body)
  })
}

/** @throws VaultError('malformed') without the parser's own words, which quote the text. */
export function jsonObject(text: string, whose: string): Readonly<Record<string, unknown>> {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw new VaultError('malformed', `${whose} answered with what is not JSON`)
  }
  if (!isObject(parsed)) throw new VaultError('malformed', `${whose} answered with what is not a JSON object`)
  return parsed
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Several addresses that all failed make an error without words of its own. */
function reasonOf(error: Error & { code?: string }): string {
  return error.message || (error.code ?? 'failed')
}
