/**
 * What proves a caller of the API, judged as at a door: a token that was used from elsewhere proves nobody from here, where
 * that is configured so. It does not stand before revocations, which take a token from whoever found it.
 */
import { IdentityError, judgeCarried, type JudgeUse, type Prover } from '@portcullis/identity'

/**
 * What is traded for a pinned token carries where that was done: another replica, or a proxy elsewhere, hears of it by the
 * child. Rejects with IdentityError, `replay` where the token may not be used from that address.
 */
export function provingFromHere(prover: Pick<Prover, 'prove'>, judgeUse: JudgeUse): Prover['prove'] {
  return async (token, presented) => {
    const proof = await prover.prove(token, presented)
    const { identity, tokenId, expiresAtUs, carried = [] } = proof
    const address = presented.address ?? ''
    const use = judgeUse(token, proof, address)
    const why = 'why' in use ? use.why : judgeCarried(judgeUse, carried)
    if (why !== undefined) throw new IdentityError('replay', why, { proven: proof })
    if (!('pinned' in use) || use.pinned === undefined) return proof
    const { issuer } = identity
    const here = { identity: { issuer }, tokenId, address, pinAddress: use.pinned, expiresAtUs }
    return { ...proof, carried: [...carried, here] }
  }
}
