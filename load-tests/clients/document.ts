/** docs/clients.md, from one run. Pure. */
import type { Client } from './catalogue.ts'
import type { Result } from './compare-client.ts'
import type { DumpResult } from './dumps.ts'
import { type Work, works } from './works.ts'

export interface ClientRow {
  readonly client: Client
  /** Empty where it did not run. */
  readonly version: string
  readonly result: Result
}

export function document(rows: readonly ClientRow[], dumps: readonly DumpResult[]): string {
  return `# Clients

<!-- Written by load-tests/clients.ts from a real run (npm run clients). Do not edit: run it again. -->

Each client below did each of these works twice, once directly at a PostgreSQL 18 server and once through the gate, and
what it saw was compared to the last byte: rows, types, tags, errors with all their fields, notices, digests of what was
copied. **same** means equal; **-** that the client itself has no such thing.

${table(
  ['', ...rows.map(({ client }) => client.name)],
  Object.keys(works).map((work) => [work, ...rows.map((row) => cell(row, work as Work))]),
)}

${Object.entries(works)
  .map(([work, what]) => `- **${work}**: ${what}.`)
  .join('\n')}

psql's catalogue is its commands \`\\d\`, \`\\d+\`, \`\\dt\`, … \`\\dX\`, \`\\sf\`, \`\\sv\`, \`\\crosstabview\`, \`\\gdesc\`, \`\\gexec\`, \`\\copy\`,
\`\\watch\` and others against one object of each kind:
[psql-commands.ts](../load-tests/clients/programs/node/psql-commands.ts). Left out there is only what tells where one is
connected, such as \`\\conninfo\`, which shows the gate.

${differences(rows)}
## pg_dump and pg_restore

A database of ${dumps[0]?.megabytes} MB with partitions, large objects, bytea, views, functions, triggers, generated and identity
columns, sequences, domains, enumerations, policies, publications and comments, dumped and restored by PostgreSQL 18's own programs, with
nothing normalised${dumps.some(({ note }) => note) ? ' but what is said' : ''}. Times are of one run on a shared machine of two cores.

${table(
  ['what', 'direct, s', 'through the gate, s', 'ratio', 'equal'],
  dumps.map(({ what, directSec, gateSec, equal, note }) => [
    what,
    directSec.toFixed(1),
    gateSec.toFixed(1),
    (gateSec / directSec).toFixed(2),
    `${equal ? 'yes' : '**no**'}${note ? ` (${note})` : ''}`,
  ]),
)}

## How to point each at the gate

The user name is the target, the password is the token, everything else stays as it was. A role of the target is
\`TARGET+ROLE\` as the user name, or \`options=-c portcullis.role=ROLE\` where a client takes the \`+\` of a URL for a space. The
gate asks for the password as cleartext, inside TLS (or on loopback): a client that is told which methods it may use
(\`require_auth\`, \`channelBinding\`) must be allowed \`password\`, and channel binding must not be required.

${table(
  ['client', 'version of this run', 'one line', 'notes'],
  rows.map(({ client, version }) => [client.name, version, `\`${client.connect}\``, client.notes ?? '']),
)}
`
}

function cell({ result }: ClientRow, work: Work): string {
  if (result.kind === 'not-installable') return '?'
  const verdict = result.verdicts.get(work)
  if (verdict?.kind === 'ok') return 'same'
  return verdict?.kind === 'unsupported' ? '-' : '**differs**'
}

function differences(rows: readonly ClientRow[]): string {
  const told = rows.flatMap(({ client, result }) => {
    if (result.kind === 'not-installable')
      return [`- ${client.name} could not be installed here: ${oneLine(result.why)}`]
    return result.bad.map(
      (work) => `- ${client.name}, ${work}: ${oneLine(JSON.stringify(result.verdicts.get(work)))}`,
    )
  })
  return told.length === 0 ? '' : `## What differs\n\n${told.join('\n')}\n`
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 400)
}

function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((one) => one.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...body.map(line)].join('\n')
}
