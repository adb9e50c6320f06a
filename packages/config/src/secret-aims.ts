/**
 * Where a secret may be sent. Pure. Whoever names a target by the API names the address that its password goes to, so a
 * secret that the gate may read is bound to addresses by somebody who has it anyway: a sealed one by whoever put it, one
 * that lies elsewhere by the configuration file. It says nothing of the file's own targets.
 */
import type { Problem } from './cross-checks.ts'
import type { TargetConfig } from './schema.ts'

/** Whether all hosts of a target are among those; "*" is every address. */
export function aimsWithin(
  addresses: readonly string[],
  { address }: Pick<TargetConfig, 'address'>,
): boolean {
  return addresses.includes('*') || [address].flat().every((one) => addresses.includes(one))
}

/** References to what lies elsewhere that a target of the API may not sign in with. */
export function refusedAims(target: TargetConfig, allow: readonly Aim[]): Problem[] {
  return referencesOf(target).flatMap(({ path, reference }) => {
    if (reference.startsWith('sealed:')) return []
    const allowed = allow.filter(({ references }) => isUnder(references, reference))
    if (allowed.some(({ addresses }) => aimsWithin(addresses, target))) return []
    const message =
      allowed.length === 0
        ? `secrets.api.allow of the configuration file has no such reference for targets of the API: ${reference}`
        : `secrets.api.allow of the configuration file has this reference for other addresses only: ${reference}`
    return [{ path, message }]
  })
}

/** What `secrets.api.allow` has. */
export interface Aim {
  readonly references: string
  readonly addresses: readonly string[]
}

/** The references among what a target signs in with, each with its place. */
export function referencesOf({
  credentials,
  roles,
}: Pick<TargetConfig, 'credentials' | 'roles'>): { path: string[]; reference: string }[] {
  const all = [
    { path: ['credentials'], of: credentials },
    ...Object.entries(roles).map(([role, { credentials: of }]) => ({
      path: ['roles', role, 'credentials'],
      of,
    })),
  ]
  return all.flatMap(({ path, of }) =>
    (['user', 'password'] as const).flatMap((key) => {
      const text = of[key] ?? ''
      return /^(vault|aws-sm|k8s|sealed):/.test(text) ? [{ path: [...path, key], reference: text }] : []
    }),
  )
}

/** Whole names only: `vault:secret/data/shop` is not the beginning of `vault:secret/data/shop-admin#password`. */
function isUnder(prefix: string, reference: string): boolean {
  if (!reference.startsWith(prefix)) return false
  return /[:/]$/.test(prefix) || ['', '/', '#'].includes(reference.charAt(prefix.length))
}
