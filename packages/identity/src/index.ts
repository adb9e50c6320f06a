export type { CertificateRule } from './certificate.ts'
export { createDpopVerifier, type DpopVerifier, dpopAlgorithms, type ShownKey } from './dpop.ts'
export { IdentityError, type IdentityErrorCode } from './errors.ts'
export type { FetchJson, FetchJsonOptions } from './fetch-json.ts'
export type { IssuerConfig, PinAddress } from './issuer-config.ts'
export type { IdentityLog, IssuerStatus } from './issuer-keys.ts'
export { createKeyStore, type KeyStore } from './key-store.ts'
export { createTokenVerifier, type Proof, type TokenVerifier, type TokenVerifierDeps } from './verifier.ts'
export {
  canonicalAddress,
  createOriginResolver,
  type OriginDatabases,
  type OriginOptions,
  type OriginResolver,
} from './origin.ts'
export { apiKeyPrefix, apiKeyRandomBytes, makeApiKey } from './own/api-key.ts'
export { isNetwork } from './own/networks.ts'
export { type Grant, mintToken, ownAlgorithm, ownTokenCharsMax } from './own/own-token.ts'
export {
  apiKeyIssuer,
  type CarriedUse,
  type Confirmation,
  type Presented,
  type ScopedProof,
  tokenName,
} from './own/proof.ts'
export { createProver, type Prover } from './own/prover.ts'
export { placeOf } from './place.ts'
export { createJudgeUse, judgeCarried, type JudgeUse } from './token-use.ts'
export { createUsedOnce } from './people/used-once.ts'
export { outOfScope, parseScope, type Scope, scopeText } from './own/scope.ts'
export { type Trade, tradedGrant } from './own/trade.ts'
