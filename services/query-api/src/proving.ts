/**
 * What proves a caller of the API, judged as at a door: a token that was used from elsewhere proves nobody from here, where
 * that is configured so. It does not stand before revocations, which take a token from whoever found it.
 */
import { IdentityError, type JudgeUse, type Prover } from '@portcullis/identity'

/** Rejects with IdentityError, `replay` where the token may not be used from that address. */
export function provingFromHere(prover: Pick<Prover, 'prove'>, judgeUse: JudgeUse): Prover['prove'] {
  return async (token, presented) => {
    const proof = await prover.prove(token, presented)
    const use = judgeUse(token, proof, presented.address ?? '')
    if ('why' in use) throw new IdentityError('replay', use.why, { proven: proof })
    return proof
  }
}
