/**
 * How often tokens are traded: what proves nobody by address, what is given out by identity and in all. A fleet trades some
 * tokens a minute for each of its agents; more is a loop, or somebody who tries keys. It counts in this process alone.
 */
import { type Clock, type Identity, identityKey } from '@portcullis/kernel'
import { createBudgets, createFailureBudget } from '../failure-budget.ts'
import { OauthError } from './oauth-error.ts'

export interface TradeRates {
  /** Proofs that prove nobody, by address, a minute. */
  readonly failuresMax: number
  /** Tokens for one identity, a minute. */
  readonly perIdentityMax: number
  /** Tokens of this process, a minute. */
  readonly inAllMax: number
}

export const usualRates: TradeRates = { failuresMax: 60, perIdentityMax: 300, inAllMax: 6000 }

export function createTradeRates({ failuresMax, perIdentityMax, inAllMax }: TradeRates, clock: Clock) {
  const failures = createFailureBudget(failuresMax, clock)
  const identities = createBudgets(perIdentityMax, clock)
  const all = createBudgets(inAllMax, clock)
  const require = (waitMs: number, why: string): void => {
    if (waitMs === 0) return
    const retryAfterSec = Math.ceil(waitMs / 1000)
    throw new OauthError('temporarily_unavailable', why, { retryAfterSec })
  }
  return {
    failed: (address: string) => failures.spend(address),
    /** @throws OauthError */
    admit: (address: string) =>
      require(failures.waitMs(address), 'too much came from your address that proves nobody'),
    /** @throws OauthError */
    spend(identity: Pick<Identity, 'issuer' | 'subject'>) {
      const name = identityKey(identity)
      require(identities.waitMs(name), `more than ${perIdentityMax} tokens a minute for one identity`)
      require(all.waitMs(''), 'too many tokens are traded at once')
      identities.spend(name)
      all.spend('')
    },
  }
}
