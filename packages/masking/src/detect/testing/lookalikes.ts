/** What must not be found: benign values of the shapes that databases are full of, and the nearest misses of each kind. */

/** Marsaglia's xorshift, so that a run can be repeated. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

const hex = '0123456789abcdef'
const base62 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** Families of generated values by name, `count` of each. */
export function lookalikes(count: number): Readonly<Record<string, readonly string[]>> {
  const random = randomFrom(20_240_607)
  const signs = (alphabet: string, length: number): string =>
    Array.from({ length }, () => alphabet[random(alphabet.length)]).join('')
  const digits = (length: number): string => String(1 + random(9)) + signs('0123456789', length - 1)
  const padded = (below: number, from = 0): string => String(from + random(below)).padStart(2, '0')
  const date = (): string => `20${padded(30)}-${padded(12, 1)}-${padded(28, 1)}`
  const time = (): string => `${padded(24)}:${padded(60)}:${padded(60)}`
  const families: Readonly<Record<string, () => string>> = {
    'order number': () => `order ${digits(6 + random(6))}`,
    'order number with letters': () => `ORD-${digits(4)}-${digits(6)}`,
    'invoice by year': () => `INV-2024-${digits(7)}`,
    uuid: () => [8, 4, 4, 4, 12].map((length) => signs(hex, length)).join('-'),
    'time stamp': () => `${date()}T${time()}.${digits(6)}Z`,
    'time stamp of a log': () => `${date()} ${time()},${digits(3)} INFO request took ${digits(3)} ms`,
    'date by dots': () => `${padded(28, 1)}.${padded(12, 1)}.20${padded(30)} ${time()}`,
    'date by slashes': () => `${padded(12, 1)}/${padded(28, 1)}/20${padded(30)}`,
    'seconds since 1970': () => String(1_600_000_000 + random(200_000_000)),
    'milliseconds since 1970': () => String(1_600_000_000_000 + random(200_000_000) * 1000),
    'microseconds since 1970': () => `1${digits(15)}`,
    'git commit': () => signs(hex, 40),
    'short git commit': () => signs(hex, 9),
    sha256: () => signs(hex, 64),
    md5: () => signs(hex, 32),
    'content hash in a name': () => `app.${signs(hex, 8)}.js`,
    'IPv4 address': () => `${random(256)}.${random(256)}.${random(256)}.${random(256)}:${digits(4)}`,
    'IPv6 address': () => Array.from({ length: 8 }, () => signs(hex, 4)).join(':'),
    'MAC address': () => Array.from({ length: 6 }, () => signs(hex, 2)).join(':'),
    price: () => `${digits(3)}.${padded(100)} EUR`,
    'price with thousands': () => `${digits(2)},${digits(3)},${digits(3)}.${padded(100)}`,
    'price with spaces': () => `${digits(2)} ${digits(3)} ${digits(3)} kr`,
    fraction: () => `0.${digits(16)}`,
    coordinates: () => `${digits(2)}.${digits(6)}, -${digits(2)}.${digits(7)}`,
    'vector of numbers': () => Array.from({ length: 12 }, () => `-0.${digits(8)}`).join(', '),
    'numbers in a row': () => Array.from({ length: 12 }, () => digits(1 + random(4))).join(' '),
    version: () => `${random(20)}.${random(20)}.${random(200)}-rc.${random(9)}`,
    base62: () => signs(base62, 40),
    base64: () => `${signs(`${base62}+/`, 60)}==`,
    'snowflake of this decade': () => `1${digits(18)}`,
    'ISBN with hyphens': () => `978-${digits(1)}-${digits(3)}-${digits(5)}-${digits(1)}`,
    'part number': () => `${signs('BCDEFGH', 2)}${digits(6)}-${digits(2)}`,
    'ticket id': () => `PROJ-${digits(5)}`,
    'image of a high density': () => `icon-${digits(2)}@2x.png`,
    'package with version': () => `lodash@${random(9)}.${random(30)}.${random(30)}`,
    'handle in a chat': () => `thanks @${signs('abcdefgh', 8)}!`,
    'size of a picture': () => `${digits(4)}x${digits(4)}`,
    'range of bytes': () => `bytes ${digits(6)}-${digits(7)}/${digits(8)}`,
    'signed number': () => `+${digits(6)}`,
    'offset of a zone': () => `${date()}T${time()}+02:00`,
    'variable name': () => `task_${signs('abcdefgh_', 30)}`,
    percentage: () => `${digits(2)}.${digits(4)}%`,
  }
  return Object.fromEntries(
    Object.entries(families).map(([name, make]) => [name, Array.from({ length: count }, make)]),
  )
}

/** One sign away from what is meant, or known to be mistaken for it. */
export const nearMisses: readonly string[] = [
  '4242424242424241',
  '1234567890123452',
  '4444444444444448',
  '4242424242424242000',
  '0.4242424242424242',
  'GB29NWBK60161331926818',
  'DE8937040044053201300',
  'XX29NWBK60161331926819',
  'git@github.com:owner/repository.git',
  'getty@tty1.service',
  'react@18.2.0',
  'background@3x.webp',
  'user@localhost',
  '@decorator.method',
  '000-12-3456',
  '666-12-3456',
  '900-12-3456',
  '123-00-4567',
  '123-45-0000',
  'QQ123456C',
  'GB123456A',
  'AB123456E',
  'sales 943 476 5918 units'.replace('943', '143'),
  '86095742718',
  '255081416802539',
  '12345678A',
  'X1234567A',
  'RSSMRA85T10A562T',
  '111222333',
  '44051401358',
  '811218-9875',
  '529.982.247-26',
  '2341 2341 2347',
  'ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
  'sk-learn is a package, sk-live-coding too',
  'AKIA is a prefix',
  'AKIAIOSFODNN7EXAMPLELONGER',
  'risk_live_aB3dE5fG7hJ9kL2mN4pQ6rS8',
  'eyJ is how a JWT begins: eyJ0eXAi',
  'eyJub3QiOiJhIGhlYWRlciJ9.eyJzdWIiOiJ4In0.abc',
  '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
  '-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----',
  '1800-01-02 03:04',
  'version 10.0.19045.3803',
  'ISO 8601-2024',
  'call me at 9 or 10',
  'phone: none',
  'telephone booths: 12345',
]
