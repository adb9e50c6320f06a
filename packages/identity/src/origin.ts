/**
 * A source address -> where it is: country, region, autonomous system, from MMDB files read once at start. Refuses to
 * place what has no place (private, loopback, link-local and reserved addresses), and to start with a database that it
 * was told to use and cannot read. Never throws for an address, and never asks the network.
 *
 * Bundled are countries (geo-whois-asn-country, CC0) and autonomous systems (@ip-location-db/asn, CC BY 4.0 by
 * RouteViews, the NRO and DB-IP.com: NOTICE gives the attribution, and a page that shows AS numbers or names must link to
 * https://db-ip.com). Regions need a file by path, and so does whatever must be newer or more exact than what is bundled:
 * any MMDB with MaxMind's field names (GeoLite2, GeoIP2, DB-IP) or ip-location-db's.
 */
import { createRequire } from 'node:module'
import { BlockList, isIP, SocketAddress } from 'node:net'
import type { Origin } from '@portcullis/kernel'
import { open, type Reader, type Response } from 'maxmind'
import { openAsnTable } from './asn-table.ts'
import { IdentityError } from './errors.ts'

export interface OriginDatabases {
  /** Path of an MMDB with countries; the bundled one where absent. */
  readonly countryDb?: string
  /** Path of an MMDB with autonomous systems; the bundled list where absent. */
  readonly asnDb?: string
  /** Path of an MMDB with cities; without it `region` is empty. Its country goes before `countryDb`'s. */
  readonly cityDb?: string
}

export interface OriginResolver {
  /** `address` may be IPv4, IPv6, IPv4-mapped or with a zone; anything else comes back as it is, placed nowhere. */
  resolve(address: string): Origin
}

export interface OriginOptions {
  /** Where the bundled list of autonomous systems is kept compiled, for every process of this machine. */
  readonly cacheDir?: string
  readonly log?: { warn(fields: object, message: string): void }
}

/** Rejects with IdentityError('origin_database') that names the file and the setting. */
export async function createOriginResolver(
  databases: OriginDatabases = {},
  options: OriginOptions = {},
): Promise<OriginResolver> {
  const [country, asn, city] = await Promise.all([
    openDatabase('countryDb', databases.countryDb ?? bundledCountryDb()),
    databases.asnDb === undefined ? undefined : openDatabase('asnDb', databases.asnDb),
    databases.cityDb === undefined ? undefined : openDatabase('cityDb', databases.cityDb),
  ])
  const bundledAsn = databases.asnDb === undefined ? openAsnTable(options) : undefined
  const nowhere = placeless()
  return {
    resolve(text) {
      const address = canonicalAddress(text)
      const origin = { address, country: '', region: '', asn: 0, asOrg: '' }
      const family = isIP(address)
      if (family === 0 || nowhere.check(address, family === 6 ? 'ipv6' : 'ipv4')) return origin
      const cityRecord = city && lookup(city, address)
      origin.country = countryOf(cityRecord) || countryOf(lookup(country, address))
      origin.region = regionOf(cityRecord)
      const system = bundledAsn?.find(address, family === 6 ? 6 : 4)
      const asnRecord = asn && lookup(asn, address)
      origin.asn = system?.number ?? asnOf(asnRecord)
      origin.asOrg = system?.name ?? asOrgOf(asnRecord)
      return origin
    },
  }
}

/** One spelling an address: no zone, IPv6 in its short form, IPv4-mapped as IPv4. What is no address is unchanged. */
export function canonicalAddress(text: string): string {
  if (isIP(text) !== 6) return text
  const [withoutZone = ''] = text.split('%')
  const { address } = new SocketAddress({ address: withoutZone, family: 'ipv6' })
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  return mapped ?? address
}

function bundledCountryDb(): string {
  return createRequire(import.meta.url).resolve(
    '@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb',
  )
}

async function openDatabase(setting: keyof OriginDatabases, path: string): Promise<Reader<Response>> {
  try {
    return await open<Response>(path)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new IdentityError(
      'origin_database',
      `${setting}: the database ${path} cannot be read as MMDB (${why}); correct the path, or leave the setting out`,
      { cause },
    )
  }
}

/** A damaged record places an address nowhere; it does not cost anyone their session. */
function lookup(database: Reader<Response>, address: string): unknown {
  try {
    return database.get(address)
  } catch {
    return undefined
  }
}

function countryOf(record: unknown): string {
  const code = at(record, 'country', 'iso_code') ?? at(record, 'country_code') ?? at(record, 'country')
  return typeof code === 'string' && /^[A-Z]{2}$/.test(code) ? code : ''
}

function regionOf(record: unknown): string {
  const subdivision = at(record, 'subdivisions', '0', 'iso_code')
  const country = countryOf(record)
  return country && typeof subdivision === 'string' && /^[A-Z0-9]{1,3}$/.test(subdivision)
    ? `${country}-${subdivision}`
    : ''
}

function asnOf(record: unknown): number {
  const value = at(record, 'autonomous_system_number') ?? at(record, 'asn')
  const number = typeof value === 'string' ? Number(value.replace(/^AS/i, '')) : value
  return typeof number === 'number' && Number.isInteger(number) && number > 0 && number < 2 ** 32 ? number : 0
}

function asOrgOf(record: unknown): string {
  const value = at(record, 'autonomous_system_organization') ?? at(record, 'as_name') ?? at(record, 'name')
  return typeof value === 'string' ? value.slice(0, 256) : ''
}

function at(value: unknown, ...path: readonly string[]): unknown {
  let found = value
  for (const step of path) {
    if (typeof found !== 'object' || found === null) return undefined
    found = Reflect.get(found, step)
  }
  return found
}

/** IANA's special-purpose registries (RFC 6890): addresses that no database can place. */
function placeless(): BlockList {
  const list = new BlockList()
  const v4 =
    '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24'
  const v4More = '192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4'
  const v6 = '::/128 ::1/128 100::/64 2001:db8::/32 fc00::/7 fe80::/10 ff00::/8'
  for (const [family, subnets] of [
    ['ipv4', v4],
    ['ipv4', v4More],
    ['ipv6', v6],
  ] as const)
    for (const subnet of subnets.split(' ')) {
      const [network = '', bits = ''] = subnet.split('/')
      list.addSubnet(network, Number(bits), family)
    }
  return list
}
