/** The rules that come with Portcullis, as YAML in `library/`, each file with examples of its own. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'

const folder = new URL('../library/', import.meta.url)

export function libraryNames(): readonly string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort()
}

/** Its YAML; undefined where there is none of that name. */
export function libraryText(name: string): string | undefined {
  const file = new URL(`${name}.yaml`, folder)
  return /^[a-z0-9-]+$/.test(name) && existsSync(file) ? readFileSync(file, 'utf8') : undefined
}
