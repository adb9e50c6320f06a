/**
 * The PROXY protocol, version 2: how a load balancer says whose connection it brings. Pure functions over bytes.
 * Refuses version 1 (a text line that a client could have typed), a header from a peer that is not configured as
 * trusted (its bytes are then the client's own), and, from a trusted peer, to go on without a header.
 *
 *    0..11  signature  0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A
 *    12     version (high nibble, 2) and command (low nibble: 0 LOCAL, 1 PROXY)
 *    13     family (high: 0 UNSPEC, 1 INET, 2 INET6, 3 UNIX) and transport (low: 0 UNSPEC, 1 STREAM, 2 DGRAM)
 *    14..15 length of what follows, big-endian: addresses and ports, then TLVs (type, 2-byte length, value)
 *
 * https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt section 2.2
 */
import { BlockList, isIP, SocketAddress } from 'node:net'

export type ProxyHeader =
  /** All bytes so far could be the start of a header: read more. */
  | { readonly kind: 'incomplete' }
  /** These bytes are no PROXY header. */
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed'; readonly why: string }
  | {
      readonly kind: 'header'
      readonly bytesUsed: number
      /** The client's address; absent where the balancer speaks for itself (LOCAL) or does not know (UNSPEC, UNIX). */
      readonly source?: ProxySource
      /** The balancer's own connection, such as a health check. */
      readonly local: boolean
    }

export interface ProxySource {
  readonly address: string
  readonly port: number
}

/** Reads the header at the start of `bytes`. Judges as early as it can; the bytes after `bytesUsed` are the client's. */
export function readProxyHeader(bytes: Uint8Array): ProxyHeader {
  const text = startsLike(bytes, versionOne)
  if (text === 'yes')
    return malformed(
      'PROXY protocol version 1 is not accepted: let the balancer send version 2 (send-proxy-v2)',
    )
  const binary = startsLike(bytes, signature)
  if (text === 'so far' || binary === 'so far') return { kind: 'incomplete' }
  if (binary === 'no') return { kind: 'none' }

  const [versionAndCommand, familyAndTransport, lengthHigh, lengthLow] = bytes.subarray(12, 16)
  if (versionAndCommand === undefined) return { kind: 'incomplete' }
  if (versionAndCommand >> 4 !== 2) return malformed(`version ${versionAndCommand >> 4} is not 2`)
  const command = versionAndCommand & 0x0f
  if (command > 1) return malformed(`command ${command} is neither LOCAL nor PROXY`)
  if (familyAndTransport === undefined) return { kind: 'incomplete' }
  const family = familyAndTransport >> 4
  const transport = familyAndTransport & 0x0f
  if (family > 3 || transport > 2)
    return malformed(`family and transport 0x${hex(familyAndTransport)} are unknown`)
  if (lengthHigh === undefined || lengthLow === undefined) return { kind: 'incomplete' }
  const length = lengthHigh * 256 + lengthLow
  if (length > bodyBytesMax) return malformed(`length ${length} is over ${bodyBytesMax}`)
  if (bytes.length < headBytes + length) return { kind: 'incomplete' }

  const bytesUsed = headBytes + length
  if (command === 0) return { kind: 'header', bytesUsed, local: true }
  if (family === 0 || family === 3) return { kind: 'header', bytesUsed, local: false }
  if (transport !== 1) return malformed('transport is not a stream')
  const body = bytes.subarray(headBytes, bytesUsed)
  const addressBytes = family === 1 ? 4 : 16
  const fixedBytes = 2 * addressBytes + 4
  if (length < fixedBytes) return malformed(`length ${length} is too short for its addresses (${fixedBytes})`)
  const why = badTlvs(body.subarray(fixedBytes))
  if (why) return malformed(why)
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  const address = family === 1 ? ipv4(body) : ipv6(view)
  return {
    kind: 'header',
    bytesUsed,
    local: false,
    source: { address, port: view.getUint16(2 * addressBytes) },
  }
}

/** What a listener does with the first bytes of a connection. */
export type Entry =
  | { readonly kind: 'wait' }
  /** The client's own bytes start at `bytesUsed`; `source` replaces the peer's address. */
  | {
      readonly kind: 'proceed'
      readonly bytesUsed: number
      readonly source?: ProxySource
      readonly viaProxy: boolean
    }
  | { readonly kind: 'refuse'; readonly why: string }

/**
 * The rule: an untrusted peer's bytes are its own, whatever they look like. A trusted peer must send a header unless
 * `required` is false. `viaProxy` is true for every connection of a trusted peer that carried a header: such a client
 * is not on loopback, wherever the balancer is.
 */
export function judgeEntry(
  bytes: Uint8Array,
  peer: { readonly trusted: boolean; readonly required: boolean },
): Entry {
  if (!peer.trusted) return { kind: 'proceed', bytesUsed: 0, viaProxy: false }
  const header = readProxyHeader(bytes)
  switch (header.kind) {
    case 'incomplete':
      return { kind: 'wait' }
    case 'malformed':
      return { kind: 'refuse', why: `malformed PROXY header: ${header.why}` }
    case 'none':
      return peer.required
        ? { kind: 'refuse', why: 'a trusted peer sent no PROXY protocol version 2 header' }
        : { kind: 'proceed', bytesUsed: 0, viaProxy: false }
    case 'header':
      return {
        kind: 'proceed',
        bytesUsed: header.bytesUsed,
        viaProxy: true,
        ...(header.source ? { source: header.source } : {}),
      }
  }
}

/**
 * Whether a peer's address is in one of `cidrs` (`10.0.0.0/8`, `2001:db8::/32`, or one address). IPv4-mapped IPv6 peers
 * match IPv4 networks. Throws RangeError that quotes the entry which is not a network.
 */
export function trustedPeer(cidrs: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [network = '', bits, ...rest] = cidr.split('/')
    const family = isIP(network)
    const bitsMax = family === 6 ? 128 : 32
    const prefix = bits === undefined ? bitsMax : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
    if (family === 0 || rest.length > 0 || !(prefix <= bitsMax))
      throw new RangeError(
        `trusted peers: ${JSON.stringify(cidr)} is not an address or a network such as 10.0.0.0/8`,
      )
    list.addSubnet(network, prefix, family === 6 ? 'ipv6' : 'ipv4')
  }
  return (address) => {
    const family = isIP(address)
    return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4')
  }
}

const signature = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)
const versionOne = new TextEncoder().encode('PROXY ')
const headBytes = 16
/** Addresses and TLVs: room for a balancer's certificate details, far from the 65,535 that the field could say. */
const bodyBytesMax = 4096

function startsLike(bytes: Uint8Array, pattern: Uint8Array): 'yes' | 'no' | 'so far' {
  const length = Math.min(bytes.length, pattern.length)
  for (let at = 0; at < length; at += 1) if (bytes[at] !== pattern[at]) return 'no'
  return bytes.length < pattern.length ? 'so far' : 'yes'
}

function badTlvs(tlvs: Uint8Array): string | undefined {
  for (let at = 0; at < tlvs.length; ) {
    const [, high, low] = tlvs.subarray(at, at + 3)
    if (high === undefined || low === undefined) return 'it ends inside the head of a TLV'
    at += 3 + high * 256 + low
    if (at > tlvs.length) return 'a TLV is longer than the header'
  }
  return undefined
}

function ipv4(body: Uint8Array): string {
  return body.subarray(0, 4).join('.')
}

function ipv6(view: DataView): string {
  const groups = Array.from({ length: 8 }, (_, at) => view.getUint16(at * 2).toString(16))
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}

function malformed(why: string): ProxyHeader {
  return { kind: 'malformed', why }
}
