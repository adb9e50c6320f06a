/**
 * Every file under a folder while others work in it, to be searched for what must not be there. What is gone by the time
 * it is looked at is passed over: the ClickHouse engine has folders for the length of one insert.
 */
import { type Dirent, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface FileText {
  readonly file: string
  /** A character a byte. */
  readonly text: string
}

export function allFiles(dir: string): FileText[] {
  return (orGone(() => readdirSync(dir, { withFileTypes: true })) ?? []).flatMap((entry: Dirent) => {
    const file = join(dir, entry.name)
    if (entry.isDirectory()) return allFiles(file)
    const text = entry.isFile() ? orGone(() => readFileSync(file, 'latin1')) : undefined
    return text === undefined ? [] : [{ file, text }]
  })
}

function orGone<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
