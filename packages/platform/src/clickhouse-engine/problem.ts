/** An answer in ClickHouse's own form, which its clients parse. */
export class HttpProblem extends Error {
  readonly status: number
  readonly code: number
  constructor(status: number, code: number, type: string, text: string) {
    super(`Code: ${code}. DB::Exception: ${text}. (${type})`)
    this.status = status
    this.code = code
  }
}

/** From whatever the engine threw. `hidden` are our own paths, which mean nothing to a client. */
export function problemOf(cause: unknown, hidden: readonly string[] = []): HttpProblem {
  if (cause instanceof HttpProblem) return cause
  let message = cause instanceof Error ? cause.message : String(cause)
  for (const path of hidden) message = message.replaceAll(path, 'the request body')
  const parts =
    /^Code: (\d+)\. (?:DB::)?Exception: (.*?)(?:\.? \(([A-Z0-9_]+)\))?(?: \(version [^)]*\))?\s*$/s.exec(
      message,
    )
  if (!parts) return new HttpProblem(500, 1001, 'STD_EXCEPTION', message)
  const code = Number(parts[1])
  return new HttpProblem(statusOf(code), code, parts[3] ?? 'UNKNOWN_EXCEPTION', parts[2] ?? '')
}

/** As ClickHouse's HTTPHandler answers (src/Server/HTTPHandler, exceptionCodeToHTTPStatus). */
function statusOf(code: number): number {
  if (notFound.has(code)) return 404
  if (badRequest.has(code)) return 400
  if (code === 48) return 501
  if (code === 159 || code === 160) return 408
  if (code === 202) return 503
  if (code === 241) return 507
  if (code === 497 || code === 516) return 403
  return 500
}

const badRequest = new Set([
  6, 26, 27, 38, 41, 42, 43, 44, 46, 47, 50, 51, 52, 53, 62, 63, 70, 72, 73, 115, 117, 130, 131, 349, 377,
  386, 456, 457,
])
const notFound = new Set([16, 60, 81])
