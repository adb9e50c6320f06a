/**
 * From one HTTP request of ClickHouse's interface to what is to be run: pure, so that what a client may ask for is
 * decided in one readable place. It refuses what the embedded engine cannot do rather than to ignore it.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { HttpProblem } from './problem.ts'

export interface Asked {
  readonly queryId: string
  readonly database: string
  readonly defaultFormat: string
  /** From the URL; the body follows it after a line break, as on a server. Empty where the body is the query. */
  readonly query: string
  readonly settings: ReadonlyMap<string, string>
  readonly params: ReadonlyMap<string, string>
  readonly gzipRequest: boolean
  readonly gzipResponse: boolean
}

/** Throws HttpProblem. */
export function readRequest(url: URL, headers: IncomingHttpHeaders, newId: () => string): Asked {
  const settings = new Map<string, string>()
  const params = new Map<string, string>()
  for (const [name, value] of url.searchParams) {
    if (known.has(name)) continue
    if (unsupported.has(name))
      throw new HttpProblem(400, 36, 'BAD_ARGUMENTS', `The embedded engine does not support ${name}`)
    const param = name.startsWith('param_')
    const bare = param ? name.slice('param_'.length) : name
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(bare))
      throw new HttpProblem(400, 115, 'UNKNOWN_SETTING', `Not the name of a setting: ${JSON.stringify(name)}`)
    if (param) params.set(bare, value)
    else settings.set(bare, value)
  }
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding !== 'gzip' && encoding !== 'identity')
    throw new HttpProblem(
      400,
      36,
      'BAD_ARGUMENTS',
      `Content-Encoding ${encoding} is not supported, only gzip is`,
    )
  if (/^multipart\//i.test(headers['content-type'] ?? ''))
    throw new HttpProblem(
      400,
      36,
      'BAD_ARGUMENTS',
      'Parameters belong in the URL: multipart is not supported',
    )
  const compressed = url.searchParams.get('enable_http_compression') === '1'
  return {
    queryId: url.searchParams.get('query_id') || newId(),
    database: url.searchParams.get('database') || String(headers['x-clickhouse-database'] ?? ''),
    defaultFormat:
      url.searchParams.get('default_format') ||
      String(headers['x-clickhouse-format'] ?? '') ||
      'TabSeparated',
    query: url.searchParams.get('query') ?? '',
    settings,
    params,
    gzipRequest: encoding === 'gzip',
    gzipResponse: compressed && /\bgzip\b/.test(String(headers['accept-encoding'] ?? '')),
  }
}

/** One statement that sets all of them, or undefined where there is nothing to set. */
export function settingStatement({
  settings,
  params,
}: Pick<Asked, 'settings' | 'params'>): string | undefined {
  const parts = [
    ...[...settings].map(([name, value]) => `${name} = ${quote(value)}`),
    ...[...params].map(([name, value]) => `param_${name} = ${quote(value)}`),
  ]
  return parts.length > 0 ? `SET ${parts.join(', ')}` : undefined
}

export function quote(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

export interface Credentials {
  readonly username: string
  readonly password: string
}

/** Compares in a time that tells nothing of the secret, whatever is missing or too long. */
export function authorised(headers: IncomingHttpHeaders, expected: Credentials): boolean {
  const given = credentialsOf(headers)
  const user = same(given.username, expected.username)
  const password = same(given.password, expected.password)
  return user && password
}

function credentialsOf(headers: IncomingHttpHeaders): Credentials {
  const key = headers['x-clickhouse-key']
  if (typeof key === 'string')
    return { username: String(headers['x-clickhouse-user'] ?? 'default'), password: key }
  const basic = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(headers.authorization ?? '')?.[1]
  const decoded = basic === undefined ? '' : Buffer.from(basic, 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  return colon < 0
    ? { username: '', password: '' }
    : { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) }
}

function same(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}

/** Read above, or of no meaning to an engine that answers when a query is done. */
const known = new Set([
  'query',
  'query_id',
  'database',
  'default_format',
  'wait_end_of_query',
  'buffer_size',
  'enable_http_compression',
  'http_zlib_compression_level',
  'send_progress_in_http_headers',
  'http_headers_progress_interval_ms',
  'cancel_http_readonly_queries_on_client_close',
  'async_insert',
  'wait_for_async_insert',
])
/** A session's temporary tables and a user's roles would silently not be there. Credentials in a URL end up in logs. */
const unsupported = new Set([
  'session_id',
  'session_timeout',
  'session_check',
  'role',
  'user',
  'password',
  'compress',
  'decompress',
])
