/**
 * Tokens of `portcullis login`, one a gate, in one file that nobody else may read. It refuses a file that others can read:
 * what lay in it is to be taken for known.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CliError, messageOf } from './errors.ts'

export interface Stored {
  readonly token: string
  /** ISO 8601. */
  readonly expiresAt: string
}

interface Content {
  readonly version: 1
  /** The gate that was signed in to last. */
  readonly current: string | undefined
  readonly gates: Readonly<Record<string, Stored>>
}

export interface TokenStore {
  readonly file: string
  /** @throws CliError file, as all of them */
  current(): string | undefined
  get(url: string): Stored | undefined
  put(url: string, stored: Stored): void
  /** Whether there was one. */
  remove(url: string): boolean
}

export function openTokenStore(dir: string): TokenStore {
  const file = join(dir, 'tokens.json')

  function read(): Content {
    try {
      if (process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0)
        throw new CliError(
          'file',
          `${file} can be read by others`,
          `its tokens may be known by now: rm ${file}, then portcullis login`,
        )
      return contentOf(JSON.parse(readFileSync(file, 'utf8')), file)
    } catch (cause) {
      if (cause instanceof CliError) throw cause
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return empty
      throw new CliError('file', `${file} cannot be read: ${messageOf(cause)}`, `remove it: rm ${file}`, {
        cause,
      })
    }
  }

  function write(content: Content): void {
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 })
      const next = `${file}.${process.pid}`
      rmSync(next, { force: true })
      writeFileSync(next, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600, flag: 'wx' })
      renameSync(next, file)
    } catch (cause) {
      throw new CliError(
        'file',
        `${file} cannot be written: ${messageOf(cause)}`,
        'set PORTCULLIS_CONFIG_DIR to a folder of yours',
        { cause },
      )
    }
  }

  return {
    file,
    current: () => read().current,
    get: (url) => {
      const { gates } = read()
      return Object.hasOwn(gates, url) ? gates[url] : undefined
    },
    put(url, stored) {
      const { gates } = read()
      write({ version: 1, current: url, gates: { ...gates, [url]: stored } })
    },
    remove(url) {
      const had = read()
      const { [url]: gone, ...gates } = had.gates
      if (gone === undefined) return false
      write({ version: 1, current: had.current === url ? undefined : had.current, gates })
      return true
    },
  }
}

const empty: Content = { version: 1, current: undefined, gates: {} }

function contentOf(value: unknown, file: string): Content {
  const { version, current, gates } = (value ?? {}) as Partial<Content>
  const fits =
    version === 1 &&
    typeof gates === 'object' &&
    Object.values(gates).every(
      (one) => typeof one?.token === 'string' && !Number.isNaN(Date.parse(one.expiresAt)),
    )
  if (fits) return { version, current: typeof current === 'string' ? current : undefined, gates }
  throw new CliError('file', `${file} is none of ours, or of another version`, `remove it: rm ${file}`)
}
