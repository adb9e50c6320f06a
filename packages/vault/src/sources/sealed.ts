/**
 * `sealed:NAME`: sealed in the control log. It asks whoever folds that log, each time, so that what was put anew is used at
 * once; what it opened it remembers for as long as the same text stands there, so that a master key that lies elsewhere is
 * asked once for each secret and not for each session.
 */
import { VaultError } from '../errors.ts'
import type { SealContext, Sealer } from '../sealer.ts'
import type { Secret } from '../secret.ts'
import type { Source } from '../source.ts'

export interface Sealed extends SealContext {
  /** As `Sealer.seal` made it. */
  readonly sealed: string
}

export interface SealedSource {
  get(name: string): Sealed | undefined
}

export function createSealed(source: SealedSource, sealer: Sealer): Source {
  const opened = new Map<string, { readonly of: Sealed; readonly secret: Promise<Secret> }>()

  function open(name: string, of: Sealed): Promise<Secret> {
    const known = opened.get(name)
    if (known && isSame(known.of, of)) return known.secret
    // Whatever the log says about itself: this name and no other was asked for.
    const secret = sealer.open(of.sealed, { ...of, name })
    opened.set(name, { of, secret })
    // What did not open is tried again by whoever comes next.
    secret.catch(() => {
      if (opened.get(name)?.secret === secret) opened.delete(name)
    })
    return secret
  }

  return {
    isLocal: true,
    async read({ path, text }) {
      const found = source.get(path)
      if (found) return { fields: new Map([['', (await open(path, found)).reveal()]]) }
      opened.delete(path)
      throw new VaultError('not_found', `${text}: the control log has no such secret`)
    },
  }
}

function isSame(one: Sealed, other: Sealed): boolean {
  return one.sealed === other.sealed && one.version === other.version && one.aggregateId === other.aggregateId
}
