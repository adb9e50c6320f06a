/** What a door learns from whatever was presented to it: who it is, until when, and what it may be used for. */
import type { ClientCertificate, Identity } from '@portcullis/kernel'
import type { PinAddress } from '../issuer-config.ts'
import type { Proof } from '../verifier.ts'
import type { Scope } from './scope.ts'

/** A use of a token that is pinned, told by what was traded for it to whoever has not seen it. */
export interface CarriedUse {
  readonly identity: Pick<Identity, 'issuer'>
  readonly tokenId: string
  readonly address: string
  readonly pinAddress: PinAddress
  readonly expiresAtUs: number
}

export interface ScopedProof extends Proof {
  readonly scope: Scope
  /** Where tokens that it was traded for were used, those alone that may be used from one place only. */
  readonly carried?: readonly CarriedUse[]
  /**
   * Name of the provider that a person signed in by, where the groups are theirs: what a group means here is said for each
   * provider. Undefined for whatever a person did not sign in to get.
   */
  readonly provider?: string
}

/** How a token came. */
export interface Presented {
  /** Source address; without it a key that is bound to networks proves nobody. */
  readonly address?: string
  /** The client's certificate on this connection. */
  readonly certificate?: ClientCertificate
  /** Thumbprint of the key whose DPoP proof was verified with this request (RFC 9449). */
  readonly keyThumbprint?: string
}

/** RFC 7800 section 3: what a token is bound to. */
export interface Confirmation {
  /** JWK thumbprint (RFC 9449). */
  readonly jkt?: string
  /** Certificate thumbprint (RFC 8705). */
  readonly 'x5t#S256'?: string
}

/** How a token is named where another says that it was traded from it; what verdicts of kind token name too. */
export function tokenName({ issuer, instance }: Pick<Identity, 'issuer' | 'instance'>): string {
  return `${issuer} ${instance}`
}

/** The issuer of identities that API keys prove. No URL, so no trusted issuer can be of this name. */
export const apiKeyIssuer = 'portcullis'
