/**
 * The last good keys of each issuer, kept in a folder, so that a proxy which is restarted while its issuer is away still
 * lets in whom it knows. Holds public keys only. Refuses what is not exactly as it was written: a damaged file is as good
 * as none. Whoever may write to the folder may say who is trusted: it belongs with the proxy's own data.
 */
import { createHash, randomUUID } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

export interface KeyStore {
  /** What was saved last under this name (letters and digits); undefined where nothing was, or it is damaged. */
  load(name: string): unknown
  /** Rejects where the folder cannot be written; what was saved before then stays. */
  save(name: string, value: object): Promise<void>
}

export function createKeyStore(dir: string): KeyStore {
  const fileOf = (name: string) => join(dir, `${name}.json`)
  return {
    load(name) {
      const bytes = contentOf(fileOf(name))
      const end = bytes?.indexOf('\n') ?? -1
      if (bytes === undefined || end < 0) return undefined
      const body = bytes.subarray(end + 1)
      if (bytes.toString('latin1', 0, end) !== digest(body)) return undefined
      return JSON.parse(body.toString('utf8'))
    },
    async save(name, value) {
      const body = Buffer.from(JSON.stringify(value))
      const file = fileOf(name)
      const part = `${file}.${randomUUID()}.tmp`
      await mkdir(dir, { recursive: true, mode: 0o700 })
      try {
        const handle = await open(part, 'wx', 0o600)
        try {
          await handle.writeFile(Buffer.concat([Buffer.from(`${digest(body)}\n`), body]))
          await handle.sync()
        } finally {
          await handle.close()
        }
        await rename(part, file)
      } finally {
        await rm(part, { force: true })
      }
    },
  }
}

const bytesMax = 1024 * 1024

/** Undefined where there is no such file, or it cannot be ours. */
function contentOf(file: string): Buffer | undefined {
  try {
    return statSync(file).size > bytesMax ? undefined : readFileSync(file)
  } catch {
    return undefined
  }
}

function digest(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex')
}
