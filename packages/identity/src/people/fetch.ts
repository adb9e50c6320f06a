/**
 * Requests to a provider, in the form of `fetch`, which takes no certificate authority. Refuses plain HTTP beyond
 * loopback, redirects (they are returned as they are), and answers above a size; the time limit is over the whole
 * exchange, so that a provider that drips cannot hold a sign-in.
 */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'

export interface ProviderRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly signal?: AbortSignal
}

export type ProviderFetch = (url: string, request?: ProviderRequest) => Promise<Response>

export interface ProviderFetchOptions {
  /** PEM; the runtime's own store where absent. */
  readonly ca?: string | undefined
  readonly timeoutMs: number
  readonly bytesMax: number
}

export function createProviderFetch(options: ProviderFetchOptions): ProviderFetch {
  return async (address, request = {}) => {
    const url = new URL(address)
    if (!isSafeProviderUrl(url)) throw new Error(`${url.origin} is neither https nor on loopback`)
    return exchange(url, request, options)
  }
}

/** https, or http on the same machine. */
export function isSafeProviderUrl(url: URL): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const isLoopback = host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback)
}

function exchange(url: URL, sent: ProviderRequest, options: ProviderFetchOptions): Promise<Response> {
  const { timeoutMs, bytesMax, ca } = options
  // The query of a provider's address may hold what is secret.
  const where = url.origin + url.pathname
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      method: sent.method ?? 'GET',
      headers: { ...sent.headers, connection: 'close' },
      ...(ca === undefined ? {} : { ca }),
      ...(sent.signal ? { signal: sent.signal } : {}),
    })
    const fail = (why: string, cause?: unknown) => {
      clearTimeout(timer)
      reject(new Error(`${where} ${why}`, { cause }))
      request.destroy()
    }
    const timer = setTimeout(() => fail(`did not answer within ${timeoutMs} ms`), timeoutMs)
    request.on('error', (cause) => fail(`could not be reached: ${cause.message}`, cause))
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > bytesMax) fail(`answered with more than ${bytesMax} bytes`)
        else chunks.push(chunk)
      })
      response.on('error', (cause) => fail(`broke off: ${cause.message}`, cause))
      response.on('end', () => {
        clearTimeout(timer)
        const status = response.statusCode ?? 500
        const body = [204, 205, 304].includes(status) ? null : Buffer.concat(chunks)
        const headers = Object.entries(response.headersDistinct).flatMap(([name, values = []]) =>
          values.map((value): [string, string] => [name, value]),
        )
        resolve(new Response(body, { status, headers }))
      })
    })
    const { body } = sent
    request.end(
      body === undefined || body === null ? undefined : body instanceof Uint8Array ? body : String(body),
    )
  })
}
