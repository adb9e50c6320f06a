/**
 * One POST to a service that tells people. Refuses redirects (a token must not travel on), waits a bounded time and
 * reads a bounded answer. What went wrong is said without the URL, which may itself be the secret.
 */
export interface Answer {
  readonly status: number
  readonly body: string
  readonly retryAfterMs: number | undefined
}

export type Post = (
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
) => Promise<Answer | Unreached>
/** No answer came: whether the request was taken is not known. */
export interface Unreached {
  readonly unreached: string
}

export function createPost(timeoutMs: number): Post {
  return async (url, headers, body) => {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json; charset=utf-8',
          'user-agent': 'portcullis',
          ...headers,
        },
        body,
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      })
      const text = await readBounded(response)
      return {
        status: response.status,
        body: text,
        retryAfterMs: parseRetryAfter(response.headers.get('retry-after'), Date.now()),
      }
    } catch (error) {
      return { unreached: reasonOf(error, timeoutMs) }
    }
  }
}

/** Seconds or an HTTP date (RFC 9110, 10.2.3), as milliseconds from now; never more than an hour. */
export function parseRetryAfter(value: string | null, nowMs: number): number | undefined {
  if (value === null) return undefined
  const ms = /^\s*\d+(\.\d+)?\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - nowMs
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), 3_600_000) : undefined
}

const answerBytesMax = 65_536

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > answerBytesMax) break
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return 'the request failed'
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMs} ms`
  const { cause } = error
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined
  return `the request failed${code === undefined ? '' : ` (${code})`}`
}
