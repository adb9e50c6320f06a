/**
 * What a reference to a secret says. Pure. The forms:
 *
 *   env:NAME                              a variable of the process's environment
 *   file:PATH                             a file; one trailing line break is dropped
 *   vault:PATH#FIELD                      HashiCorp Vault, PATH as in its HTTP API behind /v1/: secret/data/shop (KV
 *                                         version 2), secret/shop (version 1), database/creds/ROLE (a lease)
 *   aws-sm:NAME[#FIELD]                   AWS Secrets Manager, name or ARN; FIELD of a secret that is a JSON object
 *   k8s:NAMESPACE/NAME#KEY                a Secret of the Kubernetes API
 *   sealed:NAME                           sealed in the control log
 *
 * The form of `vault:` is the one of bank-vaults and the Argo CD plugin: an operator can try the same path with curl.
 * What can leave the path that an operator wrote (`..`, `?`, `%`) is no reference.
 */
import { VaultError } from './errors.ts'

export type Kind = 'env' | 'file' | 'vault' | 'aws-sm' | 'k8s' | 'sealed'

export interface Reference {
  readonly kind: Kind
  /** What is read in one go, without the scheme: a secret's path or name. */
  readonly path: string
  /** Which part of it; empty for the whole. */
  readonly field: string
  /** As it was written. */
  readonly text: string
}

const forms: Readonly<Record<Kind, RegExp>> = {
  env: /^(?<path>[A-Za-z_][A-Za-z0-9_]*)$/,
  file: /^(?<path>.+)$/s,
  vault:
    /^(?<path>[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9_.@:=+-]*)+)#(?<field>[^\s#]{1,128})$/,
  'aws-sm': /^(?<path>[A-Za-z0-9/_+=.@:-]{1,512})(?:#(?<field>[^\s#]{1,128}))?$/,
  k8s: /^(?<path>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)#(?<field>[A-Za-z0-9._-]{1,253})$/,
  sealed: /^(?<path>[a-z0-9][a-z0-9._-]{0,62})$/,
}

/** @throws VaultError('reference'), which shows no more than the scheme: what is no reference may be a secret itself. */
export function parseReference(text: string): Reference {
  const colon = text.indexOf(':')
  const kind = text.slice(0, Math.max(colon, 0))
  if (!isKind(kind))
    throw new VaultError('reference', 'a secret must be referred to as KIND:…, see docs/secrets.md')
  const found = forms[kind].exec(text.slice(colon + 1))?.groups
  if (!found) throw new VaultError('reference', `a reference that begins with ${kind}: is malformed`)
  return { kind, path: found.path ?? '', field: found.field ?? '', text }
}

/** Whether it is one. Asked at each sign-in, mostly of plain names: without an error for them. */
export function isReference(text: string): boolean {
  const colon = text.indexOf(':')
  const kind = text.slice(0, Math.max(colon, 0))
  return isKind(kind) && forms[kind].test(text.slice(colon + 1))
}

function isKind(text: string): text is Kind {
  return Object.hasOwn(forms, text)
}
