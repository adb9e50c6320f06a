/** Every row of every table of a ClickHouse server, to be searched for what must not be there: on disk it is compressed. */
import type { FileText } from './all-files.ts'

/** How to reach it; what the embedded engine says of itself fits. */
export interface TableServer {
  readonly url: string
  readonly username: string
  readonly password: string
}

/** One text a table. Throws Error with the server's answer where it refuses. */
export async function allTables(
  { url, username, password }: TableServer,
  database = 'portcullis',
): Promise<FileText[]> {
  async function ask(sql: string): Promise<string> {
    const headers = { 'X-ClickHouse-User': username, 'X-ClickHouse-Key': password }
    const answer = await fetch(url, { method: 'POST', headers, body: sql })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${sql}: ${text}`)
    return text
  }
  const named = `SELECT name FROM system.tables WHERE database = '${database}' AND engine LIKE '%MergeTree' FORMAT TSV`
  const names = (await ask(named)).split('\n').filter(Boolean)
  const tables: FileText[] = []
  for (const name of names)
    tables.push({
      file: `table ${name}`,
      text: await ask(`SELECT * FROM \`${database}\`.\`${name}\` FORMAT JSONEachRow`),
    })
  return tables
}
