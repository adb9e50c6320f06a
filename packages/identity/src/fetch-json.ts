/**
 * One GET of a JSON document from an issuer. Refuses redirects, bodies above a size, and to wait: the time limit is
 * over the whole exchange, so that an issuer that drips cannot hold a login.
 */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'

export interface FetchJsonOptions {
  readonly timeoutMs: number
  readonly bytesMax: number
  /** PEM; the runtime's own store where absent. */
  readonly ca?: string
  /** Sent as `Authorization: Bearer`. */
  readonly bearer?: string
}

/** Rejects with an Error that says in words what was wrong with the answer. */
export type FetchJson = (url: string, options: FetchJsonOptions) => Promise<unknown>

export const fetchJson: FetchJson = async (url, options) => {
  const text = await get(new URL(url), options)
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new Error(`${url} answered with what is not JSON`, { cause })
  }
}

function get(url: URL, { timeoutMs, bytesMax, ca, bearer }: FetchJsonOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      headers: {
        accept: 'application/json',
        'user-agent': 'portcullis',
        connection: 'close',
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      },
      ...(ca === undefined ? {} : { ca }),
    })
    const fail = (why: string, cause?: unknown) => {
      clearTimeout(timer)
      reject(new Error(`${url.href} ${why}`, { cause }))
      request.destroy()
    }
    const timer = setTimeout(() => fail(`did not answer within ${timeoutMs} ms`), timeoutMs)
    request.on('error', (cause) => fail(`could not be reached: ${cause.message}`, cause))
    request.on('response', (response) => {
      if (response.statusCode !== 200) return fail(`answered with status ${response.statusCode}`)
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
        resolve(Buffer.concat(chunks).toString('utf8'))
      })
    })
    request.end()
  })
}
