/** `sealed:NAME`: sealed in the control log. It asks whoever folds that log, each time, and opens what it is given. */
import { VaultError } from '../errors.ts'
import type { SealContext, Sealer } from '../sealer.ts'
import type { Source } from '../source.ts'

export interface Sealed extends SealContext {
  /** As `Sealer.seal` made it. */
  readonly sealed: string
}

export interface SealedSource {
  get(name: string): Sealed | undefined
}

export function createSealed(source: SealedSource, sealer: Sealer): Source {
  return {
    async read({ path, text }) {
      const found = source.get(path)
      if (!found) throw new VaultError('not_found', `${text}: the control log has no such secret`)
      // Whatever the log says about itself: this name and no other was asked for.
      const secret = await sealer.open(found.sealed, { ...found, name: path })
      return { fields: new Map([['', secret.reveal()]]) }
    },
  }
}
