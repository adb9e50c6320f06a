/** Networks that a proof may come from. What is no network lets nobody in: a token may hold what a newer version understands. */
import { BlockList, isIP } from 'node:net'
import { canonicalAddress } from '../origin.ts'

/** An address, or one with the bits that count, such as 10.0.0.0/8. */
export function isNetwork(text: string): boolean {
  const [network = '', bits, ...rest] = text.split('/')
  const bitsMax = isIP(network) === 4 ? 32 : 128
  if (isIP(network) === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax)
}

/** Whether `address` lies in one of `networks`; no address lies in none. Remembers each list for as long as it lives. */
export function isWithin(networks: readonly string[], address: string | undefined): boolean {
  const canonical = address === undefined ? '' : canonicalAddress(address)
  const family = isIP(canonical)
  return family !== 0 && listOf(networks).check(canonical, family === 4 ? 'ipv4' : 'ipv6')
}

const lists = new WeakMap<readonly string[], BlockList>()

function listOf(networks: readonly string[]): BlockList {
  const known = lists.get(networks)
  if (known) return known
  const list = new BlockList()
  for (const text of networks.filter(isNetwork)) {
    const [network = '', bits] = text.split('/')
    const family = isIP(network) === 4 ? 'ipv4' : 'ipv6'
    if (bits === undefined) list.addAddress(network, family)
    else list.addSubnet(network, Number(bits), family)
  }
  lists.set(networks, list)
  return list
}
