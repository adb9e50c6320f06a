/** What the gate itself puts on the wire towards the server, and what it records where there is no text to read. */
import type { Analysis } from '@portcullis/kernel'
import { cstring, frontend, message } from './wire.ts'

/**
 * A simple Query that fails in every server, whatever its settings: a syntax error. It has no effect but to abort the
 * transaction, as the refused statement's own error would have.
 */
export function poisonQuery(decisionId: string): Buffer {
  return message(frontend.query, cstring(poisonText(decisionId)))
}

/** The same in the extended protocol. Its own name keeps the client's unnamed statement; a failed Parse stores nothing. */
export function poisonParse(decisionId: string): Buffer {
  return message(
    frontend.parse,
    cstring('portcullis_refused'),
    cstring(poisonText(decisionId)),
    Buffer.alloc(2),
  )
}

function poisonText(decisionId: string): string {
  return `PORTCULLIS REFUSED ${decisionId}`
}

/** Describe of a portal, by its name a character a byte. */
export function describePortal(name: string): Buffer {
  return message(frontend.describe, Buffer.from(`P${name}\0`, 'latin1'))
}

/** Bind or Execute of a name whose text the gate never saw. */
export function unknownStatementAnalysis(name: string): Analysis {
  return unread(
    `(prepared statement or portal ${JSON.stringify(name.slice(0, 64))}, whose text did not pass the gate)`,
    0,
  )
}

export function tooLargeAnalysis(bytes: number): Analysis {
  return unread(`(statement text of ${bytes} bytes, over statementBytesMax)`, bytes)
}

/** FunctionCall names a function by object id only. */
export function callFunctionAnalysis(oid: number): Analysis {
  return {
    ...unread(`(function call by object id ${oid})`, 0),
    verb: 'FUNCTION CALL',
    effects: ['execute', 'unknown'],
  }
}

function unread(text: string, textBytes: number): Analysis {
  return {
    text,
    textBytes,
    fingerprint: '',
    verb: 'UNKNOWN',
    effects: ['unknown'],
    objects: [],
    privileged: true,
    returnsRows: true,
    undoes: false,
  }
}
