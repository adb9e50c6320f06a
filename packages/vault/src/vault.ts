/**
 * Turns references to secrets into values. One for each process; what it knows dies with it: no value is ever written
 * to a disk.
 *
 * Refuses to wait without end: every exchange with a source has a time limit, and whoever comes while the same secret is
 * being read waits for that reading.
 */
import type { Clock, Started } from '@portcullis/kernel'
import { type Copy, Entry, type VaultLog } from './entry.ts'
import { VaultError } from './errors.ts'
import { type Kind, parseReference, type Reference } from './reference.ts'
import { Secret } from './secret.ts'
import { fieldOf, type Source } from './source.ts'
import { localSource } from './sources/local.ts'

export interface Vault {
  /** Rejects with VaultError. */
  resolve(reference: string): Promise<Secret>
  /** What would serve without asking a source; undefined where nothing would. What is local is never kept. */
  cached(reference: string): Secret | undefined
  /**
   * The values of references that belong together: those of one secret are of one reading, and what is lent is kept
   * until it is released. Rejects with VaultError.
   */
  borrow(references: readonly string[]): Promise<Loan>
}

export interface Loan {
  /** In the order of the references. */
  readonly secrets: readonly Secret[]
  /**
   * A target refused them: have them read anew, and say whether they differ now. At most once a second for each secret,
   * and once in ten where it is lent. Rejects with VaultError.
   */
  renew(): Promise<boolean>
  /** Once; more does nothing. */
  release(): void
}

export interface VaultDeps {
  /** Of kinds that are configured; `env:` and `file:` always are. */
  readonly sources: Readonly<Partial<Record<Kind, Source>>>
  readonly clock: Clock
  readonly log: VaultLog
  /** How long a value is taken for new. */
  readonly cacheMs: number
  /** How much longer the last good value serves while its source is away. */
  readonly staleMs: number
}

/** Its stop gives back what is lent. */
export function createVault(deps: VaultDeps): Started<Vault> {
  const entries = new Map<string, Entry>()

  function sourceOf({ kind, text }: Reference): Source {
    const source = kind === 'env' || kind === 'file' ? localSource : deps.sources[kind]
    if (source) return source
    throw new VaultError('reference', `${text}: the configuration has no source for ${kind}:`)
  }

  function entryOf(reference: Reference, source: Source): Entry {
    const key = `${reference.kind}:${reference.path}`
    const entry = entries.get(key) ?? new Entry({ ...deps, source, reference })
    entries.set(key, entry)
    return entry
  }

  async function readNow(reference: Reference, source: Source): Promise<Secret> {
    return new Secret(fieldOf(await source.read(reference), reference))
  }

  async function borrow(texts: readonly string[]): Promise<Loan> {
    const references = texts.map(parseReference)
    const held = new Map<Entry, Copy>()
    const release = () => {
      for (const [entry, copy] of held) entry.release(copy)
      held.clear()
    }
    const read = () =>
      Promise.all(
        references.map(async (reference) => {
          const source = sourceOf(reference)
          if (source.isLocal) return readNow(reference, source)
          const copy = held.get(entryOf(reference, source))
          if (!copy) throw new VaultError('unavailable', `${reference.text}: was released`)
          return new Secret(fieldOf(copy.document, reference))
        }),
      )
    try {
      const wanted = new Set(
        references.flatMap((reference) => {
          const source = sourceOf(reference)
          return source.isLocal ? [] : [entryOf(reference, source)]
        }),
      )
      // One after another: what fails must not leave another's hold behind.
      for (const entry of wanted) held.set(entry, await entry.hold())
      let secrets = await read()
      return {
        get secrets() {
          return secrets
        },
        async renew() {
          for (const [entry, copy] of [...held]) {
            const other = await entry.other(copy)
            if (!other || !held.has(entry)) continue
            other.holders++
            held.set(entry, other)
            entry.release(copy)
          }
          const before = secrets
          secrets = await read()
          return secrets.some((secret, at) => !before[at]?.equals(secret))
        },
        release,
      }
    } catch (error) {
      release()
      throw error
    }
  }

  return {
    value: {
      async resolve(text) {
        const reference = parseReference(text)
        const source = sourceOf(reference)
        if (source.isLocal) return readNow(reference, source)
        const { document } = await entryOf(reference, source).get()
        return new Secret(fieldOf(document, reference))
      },
      cached(text) {
        const reference = parseReference(text)
        const value = entries
          .get(`${reference.kind}:${reference.path}`)
          ?.serving?.document.fields.get(reference.field)
        return value === undefined ? undefined : new Secret(value)
      },
      borrow,
    },
    async stop() {
      await Promise.all([...entries.values()].map((entry) => entry.stop()))
      for (const source of Object.values(deps.sources)) source?.stop?.()
    },
  }
}
