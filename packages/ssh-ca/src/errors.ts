import { CodedError } from '@portcullis/kernel'

export type SshCaErrorCode =
  /** The certificate authority's own key cannot be used. */
  | 'ca_key'
  /** What is to be certified is no public key that we certify. */
  | 'public_key'
  /** What was asked for cannot stand in a certificate. */
  | 'request'

export class SshCaError extends CodedError<SshCaErrorCode> {}
