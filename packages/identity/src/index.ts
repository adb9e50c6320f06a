export { IdentityError, type IdentityErrorCode } from './errors.ts'
export type { FetchJson, FetchJsonOptions } from './fetch-json.ts'
export type { IssuerConfig } from './issuer-config.ts'
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
