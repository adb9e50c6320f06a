/** Installs a language's clients by its ordinary package manager into a folder outside of git, once for each manifest. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const cache = join(import.meta.dirname, '../../node_modules/.cache/clients')

export interface Folder {
  readonly name: string
  /** Where the manifests and programs lie, and the steps run. */
  readonly from: string
  /** Files that decide whether what is installed is still right. */
  readonly manifests: readonly string[]
  steps(into: string): readonly (readonly string[])[]
}

/** Resolves to the folder; rejects with the last words of the package manager. */
export async function installed({ name, from, manifests, steps }: Folder): Promise<string> {
  const into = join(cache, name)
  const stampFile = join(into, '.installed')
  const hash = createHash('sha256')
  for (const file of manifests) hash.update(readFileSync(join(from, file)))
  const stamp = hash.digest('hex')
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return into
  mkdirSync(into, { recursive: true })
  for (const [program = '', ...args] of steps(into)) {
    await run(program, args, { cwd: from, maxBuffer: 1 << 26, timeout: 900_000 }).catch((error) => {
      const words = `${error.stderr ?? ''}${error.stdout ?? ''}`.trim() || error.message
      throw new Error(`${program} ${args[0] ?? ''}: ${words.split('\n').slice(-12).join('\n')}`, {
        cause: error,
      })
    })
  }
  writeFileSync(stampFile, stamp)
  return into
}
