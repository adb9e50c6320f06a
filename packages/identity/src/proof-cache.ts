import type { Proof } from './verifier.ts'

/**
 * Tokens already proven, so that the same one is not verified anew at every connection. Holds hashes, never tokens; at
 * most `entriesMax`, the least recently used goes first. What stands here is good only while the issuer still publishes
 * the keys it was proven by: the reader compares `keys`.
 */
export interface ProofCache<Keys> {
  get(tokenHash: string): { readonly proof: Proof; readonly keys: Keys } | undefined
  set(tokenHash: string, entry: { readonly proof: Proof; readonly keys: Keys }): void
  delete(tokenHash: string): void
  readonly size: number
}

export function createProofCache<Keys>(entriesMax: number): ProofCache<Keys> {
  const entries = new Map<string, { readonly proof: Proof; readonly keys: Keys }>()
  return {
    get(tokenHash) {
      const entry = entries.get(tokenHash)
      if (!entry) return undefined
      // A Map keeps insertion order: to insert again is to become the youngest.
      entries.delete(tokenHash)
      entries.set(tokenHash, entry)
      return entry
    },
    set(tokenHash, entry) {
      entries.delete(tokenHash)
      entries.set(tokenHash, entry)
      if (entries.size > entriesMax) {
        const oldest = entries.keys().next()
        if (!oldest.done) entries.delete(oldest.value)
      }
    },
    delete: (tokenHash) => void entries.delete(tokenHash),
    get size() {
      return entries.size
    },
  }
}
