/**
 * Real clients through the gate: each does the works of clients/works.ts once directly and once through a real proxy,
 * and what it saw must be the same. Then pg_dump and pg_restore. Prints a table and, where all took part, keeps it in
 * results/clients.json and docs/clients.md. Installs each language's clients by its own package manager, the first time for some minutes.
 *
 *   node load-tests/clients.ts [--only NAME,NAME] [--megabytes N] [--no-dumps]
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startBed } from './clients/bed.ts'
import { type Client, clients, postgresPrograms, root } from './clients/catalogue.ts'
import { compareClient, type Result } from './clients/compare-client.ts'
import { type ClientRow, document } from './clients/document.ts'
import { dumpAndRestore, type DumpResult } from './clients/dumps.ts'
import { report, type Row } from './report.ts'

const { values } = parseArgs({
  allowNegative: true,
  options: {
    only: { type: 'string' },
    megabytes: { type: 'string', default: '1024' },
    dumps: { type: 'boolean', default: true },
  },
})
const wanted = values.only?.split(',')
const chosen = clients.filter(({ name }) => !wanted || wanted.includes(name))

const rows: ClientRow[] = []
const bed = await startBed()
try {
  for (const client of chosen) rows.push(await row(client))
} finally {
  await bed.stop()
}
const dumps = values.dumps
  ? await dumpAndRestore(await postgresPrograms(), Number(values.megabytes))
  : undefined
const figures = [...rows.map(reported), ...(dumps ? reportedDumps(dumps) : [])]
if (!wanted && dumps) {
  report('clients', figures)
  writeFileSync(join(root, 'docs/clients.md'), document(rows, dumps))
} else console.table(figures)
const bad = rows.filter(({ result }) => result.kind === 'ran' && result.bad.length > 0)
if (bad.length > 0 || dumps?.every(({ equal }) => equal) === false) process.exitCode = 1

async function row(client: Client): Promise<ClientRow> {
  const result = await compareClient(client, bed.value)
  console.log(`${client.name}: ${summary(result)}`)
  return { client, version: result.kind === 'ran' ? client.version() : '', result }
}

function summary(result: Result): string {
  if (result.kind === 'not-installable') return `not installable here: ${result.why}`
  const lines = result.bad.map(
    (work) => `\n  ${work}: ${JSON.stringify(result.verdicts.get(work)).slice(0, 1500)}`,
  )
  return `${result.same} works the same, ${result.unsupported} not supported by it, ${result.bad.length} not${lines.join('')}`
}

function reported({ client, result }: ClientRow): Row {
  if (result.kind === 'not-installable')
    return { row: `${client.name}: not installable here`, value: 0, unit: 'works' }
  return {
    row: `${client.name}: works that gave the same as direct`,
    value: result.same,
    unit: 'works',
    against: result.same + result.bad.length,
    aim: { atLeast: 1 },
  }
}

function reportedDumps(all: readonly DumpResult[]): Row[] {
  return all.flatMap(({ what, gateSec, directSec, equal }) => [
    { row: `${what}: equal bytes`, value: equal ? 1 : 0, unit: 'yes', aim: { atLeast: 1 } },
    { row: `${what}: time`, value: gateSec, unit: 's', against: directSec },
  ])
}
