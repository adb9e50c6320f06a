/**
 * ClickHouse's HTTP interface over the embedded engine: one request, one statement, one engine session. It listens on
 * loopback only and answers nothing but `/ping` without the secret. Data of an INSERT never becomes part of SQL text:
 * it goes to a private file that the engine reads.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { Started } from '@portcullis/kernel'
import { concat, dataIn, gunzipped, readText } from './body.ts'
import { HttpProblem, problemOf } from './problem.ts'
import { type Asked, authorised, type Credentials, quote, readRequest, settingStatement } from './request.ts'
import type { EngineSession, Sessions } from './sessions.ts'
import { type InsertStatement, readStatement, type Statement, StatementError } from './statement.ts'

export interface FrontOptions {
  readonly sessions: Sessions
  /** Made if missing, with access for this user alone; what a killed engine left in it is removed. */
  readonly bodiesDir: string
  readonly credentials: Credentials
  /** 0 for any. */
  readonly port: number
}

/** A client that takes nothing for so long loses its place among the running queries. */
const clientStallMs = 60_000
const drainMsMax = 15_000
/** As a server's http_max_uri_size: parameters travel in the URL. */
const headerBytesMax = 1024 * 1024

/** Rejects as `listen` does (EADDRINUSE). */
export async function startFront(options: FrontOptions): Promise<Started<{ port: number }>> {
  await rm(options.bodiesDir, { recursive: true, force: true })
  await mkdir(options.bodiesDir, { recursive: true, mode: 0o700 })
  const server = createServer({ maxHeaderSize: headerBytesMax }, (request, response) => {
    answer(options, request, response).catch((cause: unknown) => response.destroy(asError(cause)))
  })
  server.requestTimeout = 0
  server.keepAliveTimeout = 30_000
  server.listen(options.port, '127.0.0.1')
  await once(server, 'listening')
  return {
    value: { port: (server.address() as AddressInfo).port },
    stop: () => closeServer(server),
  }
}

async function answer(options: FrontOptions, request: IncomingMessage, response: ServerResponse) {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  response.setHeader('X-ClickHouse-Server-Display-Name', 'portcullis-engine')
  try {
    const url = new URL(request.url ?? '/', 'http://engine')
    if (url.pathname === '/ping') return void response.end('Ok.\n')
    if (url.pathname !== '/' || !['GET', 'POST'].includes(request.method ?? ''))
      throw new HttpProblem(404, 1000, 'POCO_EXCEPTION', `There is no ${request.method} ${url.pathname}`)
    if (!authorised(request.headers, options.credentials))
      throw new HttpProblem(
        401,
        516,
        'AUTHENTICATION_FAILED',
        'Authentication failed: wrong name or password',
      )
    const asked = readRequest(url, request.headers, randomUUID)
    response.setHeader('X-ClickHouse-Query-Id', asked.queryId)
    response.setHeader('X-ClickHouse-Timezone', 'UTC')
    await serve(options, asked, request, response, gone.signal)
  } catch (cause) {
    refuse(
      response,
      problemOf(cause instanceof StatementError ? badSyntax(cause) : cause, [options.bodiesDir]),
    )
  } finally {
    // What of the request was not read would otherwise be taken for the connection's next request.
    request.resume()
  }
}

async function serve(
  options: FrontOptions,
  asked: Asked,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
) {
  const body = asked.gzipRequest ? gunzipped(request) : request
  const inUrl = asked.query === '' ? undefined : readStatement(latin1(asked.query))
  if (inUrl) onlyReads(request, inUrl)
  if (inUrl?.kind === 'insert') {
    const head = dataIn(Buffer.from(asked.query), inUrl)
    return insert(options, asked, inUrl, concat(head, body), response, signal)
  }
  const text = await readText(asked.query, body)
  const statement = readStatement(text.toString('latin1'))
  onlyReads(request, statement)
  if (statement.kind === 'insert')
    return insert(options, asked, statement, Readable.from([dataIn(text, statement)]), response, signal)
  await options.sessions.with(signal, async (session) => {
    await prepare(session, asked)
    await run(session, asked, statement, response)
  })
}

/** As on a server. */
function onlyReads(request: IncomingMessage, statement: Statement): void {
  if (request.method !== 'GET' || (statement.kind === 'query' && statement.streams)) return
  throw new HttpProblem(405, 164, 'READONLY', 'A GET request only reads: use POST')
}

async function prepare(session: EngineSession, asked: Asked) {
  if (asked.database) await session.run(`USE \`${asked.database.replaceAll('`', '\\`')}\``, 'Null')
  const settings = settingStatement(asked)
  if (settings) await session.run(settings, 'Null')
}

async function run(
  session: EngineSession,
  asked: Asked,
  statement: Exclude<Statement, InsertStatement>,
  response: ServerResponse,
) {
  const format = (statement.kind === 'query' && statement.format) || asked.defaultFormat
  const sql = utf8(statement.sql)
  if (statement.kind === 'query' && statement.streams && streamable.has(format))
    return stream(session.stream(sql, format), asked, format, response)
  const result = await session.run(sql, format)
  response.setHeader('X-ClickHouse-Summary', summary({ read: result.rowsRead, elapsed: result.elapsed }))
  const out = begin(asked, format, response)
  await write(out, response, result.bytes())
  out.end()
}

/** The answer's head waits for the first rows, so that a query that fails at once has a proper error. */
async function stream(
  chunks: AsyncIterable<{ raw(): Uint8Array }>,
  asked: Asked,
  format: string,
  response: ServerResponse,
) {
  const tag = randomUUID().replaceAll('-', '').slice(0, 16)
  let out: Writable | undefined
  try {
    for await (const chunk of chunks) {
      if (!out) response.setHeader('X-ClickHouse-Exception-Tag', tag)
      out ??= begin(asked, format, response)
      await write(out, response, chunk.raw())
    }
  } catch (cause) {
    if (!out || response.destroyed) throw cause
    // Since 25.11 a server says so at the end of a broken stream; its client looks for exactly this.
    const { message } = problemOf(cause)
    const bytes = Buffer.byteLength(message) + 1
    out.end(`\r\n__exception__\r\n${tag}\r\n${message}\n${bytes} ${tag}\r\n__exception__\r\n`)
    return
  }
  out ??= begin(asked, format, response)
  out.end()
}

async function insert(
  options: FrontOptions,
  asked: Asked,
  statement: InsertStatement,
  data: Readable,
  response: ServerResponse,
  signal: AbortSignal,
) {
  // No extension: the engine would take one for a compression.
  const file = join(options.bodiesDir, randomUUID())
  try {
    await pipeline(data, createWriteStream(file, { flags: 'wx', mode: 0o600 }))
    const from = `FROM INFILE ${quote(file)} COMPRESSION 'none'`
    const sql = `${utf8(statement.sql)} ${from} ${utf8(statement.settings)} FORMAT ${statement.format}`
    const result = await options.sessions.with(signal, async (session) => {
      await prepare(session, asked)
      return session.run(sql, 'Null')
    })
    response.setHeader('X-ClickHouse-Summary', summary({ written: result.rowsRead, elapsed: result.elapsed }))
    response.end()
  } finally {
    await rm(file, { force: true })
  }
}

function begin(asked: Asked, format: string, response: ServerResponse): Writable {
  response.setHeader('X-ClickHouse-Format', format)
  response.setHeader('Content-Type', contentType(format))
  if (!asked.gzipResponse) return response
  response.setHeader('Content-Encoding', 'gzip')
  const gzip = createGzip()
  gzip.pipe(response)
  return gzip
}

async function write(out: Writable, response: ServerResponse, bytes: Uint8Array) {
  if (bytes.length === 0 || out.write(bytes)) return
  const stalled = AbortSignal.timeout(clientStallMs)
  const closed = new AbortController()
  const onClose = () => closed.abort()
  response.once('close', onClose)
  try {
    if (response.destroyed) closed.abort()
    await once(out, 'drain', { signal: AbortSignal.any([stalled, closed.signal]) })
  } catch (cause) {
    response.destroy()
    throw new HttpProblem(
      499,
      394,
      'QUERY_WAS_CANCELLED',
      stalled.aborted ? 'The client stalled' : messageOf(cause),
    )
  } finally {
    response.off('close', onClose)
  }
}

function refuse(response: ServerResponse, problem: HttpProblem) {
  if (response.headersSent || response.destroyed) return void response.destroy()
  response.removeHeader('X-ClickHouse-Summary')
  response.removeHeader('X-ClickHouse-Exception-Tag')
  response.statusCode = problem.status === 499 ? 500 : problem.status
  response.setHeader('X-ClickHouse-Exception-Code', problem.code)
  response.setHeader('Content-Type', 'text/plain; charset=UTF-8')
  response.end(`${problem.message}\n`)
}

function summary(of: { read?: number; written?: number; elapsed: number }): string {
  return JSON.stringify({
    read_rows: String(of.read ?? 0),
    read_bytes: '0',
    written_rows: String(of.written ?? 0),
    written_bytes: '0',
    total_rows_to_read: '0',
    result_rows: '0',
    result_bytes: '0',
    elapsed_ns: String(Math.round(of.elapsed * 1e9)),
  })
}

function contentType(format: string): string {
  if (/^(JSON|NDJSON)/.test(format)) return 'application/json; charset=UTF-8'
  if (format.startsWith('CSV')) return 'text/csv; charset=UTF-8'
  if (/^(TSV|TabSeparated)/.test(format)) return 'text/tab-separated-values; charset=UTF-8'
  return 'application/octet-stream'
}

/** Formats in which chunks of a result can stand one after the other. */
const streamable = new Set([
  'JSONEachRow',
  'NDJSON',
  'JSONLines',
  'JSONStringsEachRow',
  'JSONCompactEachRow',
  'JSONCompactStringsEachRow',
  'TabSeparated',
  'TSV',
  'CSV',
])

// Statements are scanned byte by byte: every byte that means something to the scanner is ASCII in UTF-8 too.
const latin1 = (text: string) => Buffer.from(text).toString('latin1')
const utf8 = (text: string) => Buffer.from(text, 'latin1').toString('utf8')
const badSyntax = (cause: Error) => new HttpProblem(400, 62, 'SYNTAX_ERROR', cause.message)
const messageOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))
const asError = (cause: unknown) => (cause instanceof Error ? cause : new Error(String(cause)))

/** Lets running requests finish, for a while. */
async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  // A connection whose request ends after `close` would otherwise be kept for the next one.
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  const late = setTimeout(() => server.closeAllConnections(), drainMsMax)
  await closed
  clearInterval(idle)
  clearTimeout(late)
}
