/** The body of a request: text that is a statement, or data that goes on where the statement's own text ends. */
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { HttpProblem } from './problem.ts'
import type { InsertStatement } from './statement.ts'

/** Text of statements that is held in memory; data of INSERTs whose statement is in the URL has no limit. */
const textBytesMax = 256 * 1024 * 1024

/** The statement's whole text, the URL's part first; throws HttpProblem where it is longer than memory should hold. */
export async function readText(query: string, body: Readable): Promise<Buffer> {
  const parts: Buffer[] = query ? [Buffer.from(query)] : []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > textBytesMax)
      throw new HttpProblem(413, 62, 'SYNTAX_ERROR', `The statement is longer than ${textBytesMax} bytes`)
    if (parts.length === 1 && query && bytes === chunk.length) parts.push(Buffer.from('\n'))
    parts.push(chunk)
  }
  return Buffer.concat(parts)
}

/** What of the text is data already: one line break after FORMAT belongs to the statement. */
export function dataIn(text: Buffer, statement: InsertStatement): Buffer {
  const rest = text.subarray(statement.dataFrom)
  const blank = /^[ \t]*\r?\n?/.exec(rest.toString('latin1', 0, 4096))?.[0].length ?? 0
  return rest.subarray(blank)
}

export function concat(head: Buffer, body: Readable): Readable {
  return head.length === 0
    ? body
    : Readable.from(
        (async function* () {
          yield head
          yield* body
        })(),
      )
}

export function gunzipped(request: IncomingMessage): Readable {
  const gunzip = createGunzip()
  request.on('error', (cause) => gunzip.destroy(cause))
  gunzip.on('error', () => request.unpipe(gunzip))
  return request.pipe(gunzip)
}
