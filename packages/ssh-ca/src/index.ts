export { type CertificateRequest, type SshCertificate, signUserCertificate } from './certificate.ts'
export { SshCaError, type SshCaErrorCode } from './errors.ts'
export { fingerprintOf, parsePublicKey, type SshPublicKey } from './public-key.ts'
export { openSshCa, type SshCa } from './ca.ts'
