/** What the audit trail holds of one identity, as anyone asks for it: over the REST API. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Parts } from './parts.ts'

const pageRows = 500

/** Resolves to what the trail holds once that is `wanted` commands, or after `timeoutMs` with what it has. */
export async function inTrail(
  { api }: Parts,
  identity: string,
  from: string,
  wanted: number,
  timeoutMs: number,
): Promise<{ commands: number; distinct: number }> {
  for (const endMs = performance.now() + timeoutMs; ; await delay(200)) {
    const ids = await commandIds(api, { identity, from })
    if (ids.length >= wanted || performance.now() > endMs)
      return { commands: ids.length, distinct: new Set(ids).size }
  }
}

async function commandIds(api: Parts['api'], filter: Readonly<Record<string, string>>): Promise<string[]> {
  const ids: string[] = []
  for (let cursor = ''; ; ) {
    const query = new URLSearchParams({ ...filter, limit: String(pageRows), ...(cursor && { cursor }) })
    const response = await fetch(`${api.url}/v1/commands?${query}`, {
      headers: { authorization: `Bearer ${api.token}` },
    })
    if (!response.ok) throw new Error(`the API answered ${response.status}: ${await response.text()}`)
    const page = (await response.json()) as {
      items: readonly { commandId: string }[]
      nextCursor: string | null
    }
    ids.push(...page.items.map(({ commandId }) => commandId))
    if (page.nextCursor === null) return ids
    cursor = page.nextCursor
  }
}
