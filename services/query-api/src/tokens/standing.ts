/** A proof of somebody who was not revoked: what signs in nowhere at the proxies does not sign in here either. */
import { IdentityError, type Presented, type Prover, type ScopedProof } from '@portcullis/identity'
import { stoppedBy, type Verdicts } from '../verdicts.ts'

/** Rejects with IdentityError('disabled') where a kill stands against it or an ancestor. A block leaves who reads the trail alone. */
export function proveStanding(
  prover: Pick<Prover, 'prove'>,
  verdicts: Pick<Verdicts, 'active'>,
): (token: string, presented: Presented) => Promise<ScopedProof> {
  return async (token, presented) => {
    const proof = await prover.prove(token, presented)
    const kills = verdicts.active().filter(({ action }) => action === 'kill')
    const by = stoppedBy(kills, proof.identity)
    if (!by) return proof
    throw new IdentityError('disabled', `verdict ${by.verdictId} stands against it`, { proven: proof })
  }
}
