/**
 * What counts as one place that a token is used from. Pure. Of IPv6 never less than a /64: a host has all of it, and changes
 * its addresses within.
 */
import { isIP } from 'node:net'
import { canonicalAddress } from './origin.ts'

export type PlaceWidth = 'address' | 'network'

/** `address`: IPv4 as it is, IPv6 by /64. `network`: IPv4 by /24, IPv6 by /48. IPv4-mapped is IPv4; what is no address is itself. */
export function placeOf(address: string, width: PlaceWidth): string {
  const canonical = canonicalAddress(address)
  switch (isIP(canonical)) {
    case 4:
      return width === 'address' ? canonical : `${canonical.slice(0, canonical.lastIndexOf('.'))}.0/24`
    case 6: {
      const groups = width === 'address' ? 4 : 3
      return `${groupsOf(canonical).slice(0, groups).join(':')}::/${groups * 16}`
    }
    default:
      return canonical
  }
}

/** All eight, of a canonical address. */
function groupsOf(address: string): string[] {
  const [head = '', tail] = address.split('::')
  const split = (part: string) => (part === '' ? [] : part.split(':'))
  // An IPv4 address at the end stands for two.
  const known = [...split(head), ...split(tail ?? '')].reduce(
    (n, group) => n + (group.includes('.') ? 2 : 1),
    0,
  )
  const missing = tail === undefined ? 0 : Math.max(0, 8 - known)
  return [...split(head), ...Array.from({ length: missing }, () => '0'), ...split(tail ?? '')]
}
