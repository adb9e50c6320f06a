import type { Proof } from './verifier.ts'

/**
 * Tokens already proven, so that the same one is not verified anew at every connection. Holds hashes, never tokens, and
 * at most `entriesMax`: two generations, the older of which is let go as a whole when the younger is full, so that what
 * was used lately stays. (One Map kept in order of use by delete and set costs 20 us a hit at 6,000 entries.) What stands
 * here is good only while the issuer still publishes the keys it was proven by: the reader compares `keys`.
 */
export interface ProofCache<Keys> {
  get(tokenHash: string): CachedProof<Keys> | undefined
  set(tokenHash: string, entry: CachedProof<Keys>): void
  delete(tokenHash: string): void
}

export interface CachedProof<Keys> {
  readonly proof: Proof
  readonly keys: Keys
}

export function createProofCache<Keys>(entriesMax: number): ProofCache<Keys> {
  const generationMax = Math.max(1, Math.floor(entriesMax / 2))
  let young = new Map<string, CachedProof<Keys>>()
  let old = new Map<string, CachedProof<Keys>>()

  function set(tokenHash: string, entry: CachedProof<Keys>): void {
    young.set(tokenHash, entry)
    if (young.size < generationMax) return
    old = young
    young = new Map()
  }

  return {
    get(tokenHash) {
      const recent = young.get(tokenHash)
      if (recent) return recent
      const entry = old.get(tokenHash)
      if (entry) set(tokenHash, entry)
      return entry
    },
    set,
    delete(tokenHash) {
      young.delete(tokenHash)
      old.delete(tokenHash)
    },
  }
}
