/**
 * A token is for one client: used from two places within its life it was carried somewhere, or stolen. What is seen goes
 * with the first command of a session to the analyzer, which makes a finding of it, also where the two places are at two
 * replicas; and where it is configured so, a second place is refused, at a door as at the API. It says nothing of API keys,
 * which have networks of their own, and of client certificates, whose keys stay where they are.
 */
import { hash } from 'node:crypto'
import type { Identity } from '@portcullis/kernel'
import type { PinAddress } from './issuer-config.ts'
import { apiKeyPrefix } from './own/api-key.ts'
import { type CarriedUse, tokenName } from './own/proof.ts'
import { placeOf } from './place.ts'

/** Where tokens were used from; the platform's TokenUses fits. */
export interface KnownUses {
  /** Notes a use and answers with all that are known of this token, the first first. Throws where it cannot. */
  note(key: string, use: Use, untilUs: number): readonly Use[]
}

export interface Use {
  readonly place: string
  readonly address: string
}

export interface UsePolicy {
  /** What two places of one token are: nothing, a finding, or a reason to refuse the second. */
  readonly replay: 'off' | 'finding' | 'refuse'
  /** For tokens whose issuer does not say. */
  readonly pinAddress: PinAddress
}

/** A use of a token that was proven. */
export interface ProvenUse {
  readonly identity: Pick<Identity, 'issuer'>
  readonly expiresAtUs: number
  readonly tokenId: string
  readonly pinAddress?: PinAddress
}

export type Judged =
  /** Goes with the session's first command. */
  | {
      readonly attributes: Readonly<Record<string, string>>
      /** How it is pinned to this place; absent where it is not. */
      readonly pinned?: PinAddress
    }
  | { readonly why: string }

/** `token` is only looked at for what it is: '' where a certificate proves by itself. */
export type JudgeUse = (token: string, use: ProvenUse, address: string) => Judged

/** Of another machine's clock: a token is taken for so much longer. */
const leewayUs = 300_000_000

export function createJudgeUse(
  policy: UsePolicy,
  uses: KnownUses,
  log: { error(fields: object, message: string): void },
): JudgeUse {
  return (token, { identity, expiresAtUs, tokenId, pinAddress = policy.pinAddress }, address) => {
    if (token === '' || token.startsWith(apiKeyPrefix)) return { attributes: {} }
    const isPinned = pinAddress !== 'off' || policy.replay === 'refuse'
    if (!isPinned && policy.replay === 'off') return { attributes: {} }
    const place = placeOf(address, pinAddress === 'network' ? 'network' : 'address')
    const key = hash('sha256', tokenName({ issuer: identity.issuer, instance: tokenId })).slice(0, 32)
    const known = noted()
    if (!known && isPinned) return { why: 'replay: where the token was used from cannot be told' }
    const [first] = known ?? []
    if (isPinned && first && first.place !== place)
      return { why: `replay: the token was first used from ${first.address}, and this is ${address}` }
    const others = (known ?? []).filter((use) => use.place !== place).map((use) => use.address)
    return {
      attributes: {
        'token.id': JSON.stringify(key),
        'token.place': JSON.stringify(place),
        ...(others.length > 0 && { 'token.others': JSON.stringify(others) }),
      },
      ...(isPinned && { pinned: pinAddress }),
    }

    function noted() {
      try {
        return uses.note(key, { place, address }, expiresAtUs + leewayUs)
      } catch (error) {
        log.error({ err: error }, 'the uses of tokens cannot be noted')
        return undefined
      }
    }
  }
}

/** Judges and notes what was seen elsewhere, as if it were seen here. Answers why one of these tokens is to be refused. */
export function judgeCarried(judgeUse: JudgeUse, carried: readonly CarriedUse[] = []): string | undefined {
  for (const { address, ...use } of carried) {
    const judged = judgeUse('carried', use, address)
    if ('why' in judged) return `${judged.why}: traded there`
  }
  return undefined
}
