/** What every client is asked to do, by the name under which its program reports it. */
export const works = {
  connect: 'signs in without TLS',
  tls: 'signs in inside TLS, with the certificate verified',
  simple: 'a query without parameters; several statements in one message where the client can',
  types: 'parameters and results of 24 types, as the client sends them by itself',
  binary: 'the same values with parameters and results in the binary format',
  prepared: 'a statement prepared once and executed 50 times',
  pipeline: 'several statements on their way at once, one of them failing in a second round',
  cursor: '100,000 rows fetched in pieces',
  large: 'a result of 25 MB read whole',
  'copy-in': 'COPY FROM STDIN, 5,000 rows; text, and binary where the client has it',
  'copy-out': 'COPY TO STDOUT, 20,000 rows; text, and binary where the client has it',
  transaction: 'commit; an error that fails the block; rollback',
  savepoint: 'back to a savepoint after an error, release, commit',
  notice: 'RAISE NOTICE and WARNING with detail and hint',
  listen: 'LISTEN, and a NOTIFY of another session',
  cancel: 'a statement cancelled while it runs; the session goes on',
  error: 'fields of an error: SQLSTATE, detail, constraint, position',
  reconnect: 'its backend is terminated; a new connection works',
  'large-object': 'a large object written, read, sought and removed',
  catalogue: "reads the schema by the client's own means of inspection",
} as const

export type Work = keyof typeof works

/** What a program prints for one work, one line of JSON each. Exactly one of the three answers is there. */
export interface Answer {
  readonly work: Work
  /** What the client saw; the same on both sides, or the gate is not transparent. */
  readonly value?: unknown
  /** The client has no such thing; why. */
  readonly unsupported?: string
  /** It did not work at all. */
  readonly failed?: string
}
