/** What a person reads once everything is up: lines to paste, each with all that it needs. */
import { dirname, join } from 'node:path'
import type { Demo } from './start.ts'

export type Welcome = {
  readonly psql: string
  readonly node: string
  readonly curl: string
  readonly watch: string
  readonly cli: string
  readonly text: string
}

export type WelcomeFacts = {
  readonly hasPsql: boolean
  readonly folder: string
  /** When the agent's token ends. */
  readonly tokenUntil: Date
}

export function welcome(demo: Demo, token: string, facts: WelcomeFacts): Welcome {
  const url = `postgres://${demo.target}:${token}@${demo.postgresDoor}/${demo.database}`
  const query = 'select id, name, price_cents from products order by id limit 5'
  const psql = `psql "${url}" -c "${query}"`
  // Absolute paths let the lines be pasted in any folder.
  const clone = join(dirname(import.meta.dirname), '../..')
  const pg = join(clone, 'node_modules/pg')
  const script = `const c=new(require("${pg}").Client)("${url}");c.connect().then(()=>c.query("${query}")).then(r=>console.table(r.rows)).finally(()=>c.end())`
  const node = `node -e '${script}'`
  const curl = `curl -s -H "Authorization: Bearer ${demo.apiToken}" "${demo.apiUrl}/v1/commands?limit=5"`
  const watch = `curl -sN -H "Authorization: Bearer ${demo.apiToken}" "${demo.apiUrl}/v1/events"`
  const bin = join(clone, 'services/cli/bin/portcullis.mjs')
  const cli = `export PORTCULLIS_URL=${demo.apiUrl} PORTCULLIS_TOKEN=${token}; node "${bin}" targets list`
  const first = facts.hasPsql
    ? ['1. Run a command through the gate:', psql, '', '   the same without psql:', node]
    : [
        '1. Run a command through the gate (psql is not installed here):',
        node,
        '',
        '   the same with psql:',
        psql,
      ]
  const elsewhere = demo.databaseFolder.startsWith(facts.folder)
    ? ''
    : `\nDemo database  ${demo.databaseFolder} (PostgreSQL does not run as root, and its user cannot enter the folder above)`
  const until = facts.tokenUntil.toISOString().slice(0, 16).replace('T', ' ')
  const text = `
Portcullis is up. You are agent:demo, the gate stands before a PostgreSQL named "${demo.target}".

${first.join('\n')}

2. See it in the trail:
${curl}

3. Watch what happens as it happens:
${watch}

4. The command line, as agent:demo; after this line "npx portcullis connect ${demo.target}" in the clone opens psql (docs/cli.md):
${cli}

API            ${demo.apiUrl}/v1   (described at ${demo.apiUrl}/v1/openapi.json)
Postgres door  ${demo.postgresDoor}   user = target, password = token
Tokens         the agent's is valid until ${until} UTC, npm start prints a new one; the API's stays the same
Configuration  ${demo.configFile}
Data and logs  ${facts.folder}${elsewhere}
Ctrl-C drains and stops everything; the next npm start finds it all again.
`
  return { psql, node, curl, watch, cli, text }
}
