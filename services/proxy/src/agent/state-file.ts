/**
 * What the follower knew last, for an agent that starts without a bus: the verdicts that stood, the holdings, and in a
 * file of its own how fresh they were. Written whole under another name first. It refuses to claim more than was written: the time is
 * only ever newer on disk than the state if the state had not changed.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Holdings, noHoldings, type Verdict } from '@portcullis/kernel'

export interface StateFile {
  read(): { readonly verdicts: readonly Verdict[]; readonly holdings: Holdings; readonly freshAtUs: number }
  writeVerdicts(verdicts: readonly Verdict[]): void
  writeHoldings(holdings: Holdings): void
  writeFresh(atUs: number): void
}

const version = 1

/** A file that does not read counts as none, and is reported. */
export function openStateFile(dir: string, onUnreadable: (path: string, error: unknown) => void): StateFile {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const verdictsPath = join(dir, 'verdicts.json')
  const holdingsPath = join(dir, 'holdings.json')
  const freshPath = join(dir, 'fresh.json')
  return {
    read() {
      const state = load<{ verdicts: Verdict[] }>(verdictsPath)
      const held = load<{ holdings: Partial<Holdings> }>(holdingsPath)
      const fresh = load<{ atUs: number }>(freshPath)
      // A predecessor of an older version did not know of all.
      const holdings = { ...noHoldings, ...held?.holdings }
      if (!state || !fresh) return { verdicts: [], holdings, freshAtUs: 0 }
      return { verdicts: state.verdicts, holdings, freshAtUs: fresh.atUs }
    },
    writeVerdicts: (verdicts) => store(verdictsPath, { version, verdicts }),
    writeHoldings: (holdings) => store(holdingsPath, { version, holdings }),
    writeFresh: (atUs) => store(freshPath, { version, atUs }),
  }

  function load<T>(path: string): T | undefined {
    try {
      const read = JSON.parse(readFileSync(path, 'utf8')) as T & { version: number }
      if (read.version !== version) throw new Error(`version ${read.version} is not ${version}`)
      return read
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onUnreadable(path, error)
      return undefined
    }
  }

  function store(path: string, value: object): void {
    const coming = `${path}.new`
    writeFileSync(coming, JSON.stringify(value), { mode: 0o600, flush: true })
    renameSync(coming, path)
  }
}
