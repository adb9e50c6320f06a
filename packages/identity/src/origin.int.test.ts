/** The bundled database, and small ones of MaxMind's format written here, since theirs may not be bundled. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { IdentityError } from './errors.ts'
import { canonicalAddress, createOriginResolver, type OriginResolver } from './origin.ts'

let dir: string
let bundled: OriginResolver
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'portcullis-origin-'))
  bundled = await createOriginResolver({}, { cacheDir: dir })
})
after(() => rm(dir, { recursive: true }))

test('the bundled database places public addresses of both families', () => {
  assert.deepEqual(bundled.resolve('8.8.8.8'), {
    address: '8.8.8.8',
    country: 'US',
    region: '',
    asn: 15169,
    asOrg: 'Google LLC',
  })
  assert.equal(bundled.resolve('2001:4860:4860::8888').country, 'US')
  assert.equal(bundled.resolve('2001:4860:4860::8888').asn, 15169)
  assert.equal(bundled.resolve('::ffff:1.1.1.1').asn, 13335)
  assert.equal(bundled.resolve('193.0.6.139').country, 'NL')
  assert.equal(bundled.resolve('133.11.0.1').country, 'JP')
})

test('what has no place is placed nowhere, whatever a database says', async () => {
  const path = await database('everywhere', [['::/0', { country: { iso_code: 'XX' } }]])
  const { resolve } = await createOriginResolver({ countryDb: path, cityDb: path, asnDb: path })
  assert.equal(resolve('8.8.8.8').country, 'XX')
  const placeless =
    '127.0.0.1 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0'
  const more =
    '224.0.0.1 255.255.255.255 ::1 :: fe80::1 fe80::1%eth0 fd00::1 ff02::1 2001:db8::1 ::ffff:10.0.0.1'
  for (const address of `${placeless} ${more}`.split(' ')) {
    assert.equal(resolve(address).country, '', address)
    assert.deepEqual([bundled.resolve(address).asn, bundled.resolve(address).asOrg], [0, ''], address)
  }
  for (const address of ['172.32.0.1', '11.0.0.1', '100.128.0.1'])
    assert.equal(resolve(address).country, 'XX', address)
})

test('one address has one spelling', () => {
  const spellings: readonly [string, string][] = [
    ['::ffff:8.8.8.8', '8.8.8.8'],
    ['::FFFF:808:808', '8.8.8.8'],
    ['0:0:0:0:0:ffff:8.8.8.8', '8.8.8.8'],
    ['2001:4860:4860:0:0:0:0:8888', '2001:4860:4860::8888'],
    ['2001:4860:4860::8888%3', '2001:4860:4860::8888'],
    ['2A00:1450::', '2a00:1450::'],
    ['8.8.8.8', '8.8.8.8'],
  ]
  for (const [given, expected] of spellings) {
    assert.equal(canonicalAddress(given), expected)
    assert.equal(bundled.resolve(given).address, expected)
  }
})

test('what is no address is kept and placed nowhere', () => {
  for (const text of ['', 'nonsense', '8.8.8', '8.8.8.8.8', '::ffff:8.8.8.8:443', '08.8.8.8', '1'])
    assert.deepEqual(bundled.resolve(text), { address: text, country: '', region: '', asn: 0, asOrg: '' })
})

test('autonomous systems and regions come from files by path', async () => {
  const asnDb = await database('asn', [
    ['::808:0/112', { autonomous_system_number: 15169, autonomous_system_organization: 'GOOGLE' }],
    ['2001:4860::/32', { asn: 'AS15169', as_name: 'Google LLC' }],
  ])
  const cityDb = await database('city', [
    ['::808:0/112', { country: { iso_code: 'DE' }, subdivisions: [{ iso_code: 'BE' }, { iso_code: 'X' }] }],
    ['2001:4860::/32', { country: { iso_code: 'gb; drop' }, subdivisions: [{ iso_code: 'ENG' }] }],
  ])
  const { resolve } = await createOriginResolver({ asnDb, cityDb })
  const expected = { country: 'DE', region: 'DE-BE', asn: 15169, asOrg: 'GOOGLE' }
  assert.deepEqual(resolve('8.8.8.8'), { address: '8.8.8.8', ...expected })
  assert.deepEqual(resolve('::ffff:8.8.8.8'), { address: '8.8.8.8', ...expected })
  const v6 = resolve('2001:4860:4860::8888')
  assert.deepEqual([v6.country, v6.region, v6.asn, v6.asOrg], ['US', '', 15169, 'Google LLC'])
  assert.deepEqual(
    [resolve('193.0.6.139').country, resolve('193.0.6.139').asn],
    ['NL', 0],
    'the country database answers where the city database does not',
  )
})

test('a database that cannot be read stops the start, and says which and where', async () => {
  const garbage = join(dir, 'garbage.mmdb')
  await writeFile(garbage, 'this is no database')
  const zipped = join(dir, 'zipped.mmdb')
  await writeFile(zipped, Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]))
  for (const setting of ['countryDb', 'asnDb', 'cityDb'])
    for (const path of [join(dir, 'missing.mmdb'), garbage, zipped, dir])
      await assert.rejects(
        createOriginResolver({ [setting]: path }),
        (error) =>
          error instanceof IdentityError &&
          error.code === 'origin_database' &&
          error.message.startsWith(`${setting}: the database ${path} `),
      )
})

/** Writes an MMDB (MaxMind DB format 2.0): an IPv6 tree of 24-bit records; IPv4 networks lie in ::/96. */
async function database(name: string, networks: readonly [string, object][]): Promise<string> {
  type Node = [Node | number | null, Node | number | null]
  const root: Node = [null, null]
  const data: Buffer[] = []
  let dataBytes = 0
  for (const [cidr, record] of networks) {
    const [address = '', bits = '0'] = cidr.split('/')
    const path = ipv6Bits(address).slice(0, Number(bits))
    const encoded = encode(record)
    // A record that is a negative number is a place in the data section until the tree's size is known.
    const leaf = -1 - dataBytes
    data.push(encoded)
    dataBytes += encoded.length
    if (path.length === 0) root.fill(leaf)
    let node = root
    path.forEach((bit, at) => {
      if (at === path.length - 1) node[bit] = leaf
      else {
        const next = node[bit]
        const child: Node = Array.isArray(next) ? next : [null, null]
        node[bit] = child
        node = child
      }
    })
  }
  const nodes: Node[] = [root]
  for (let at = 0; at < nodes.length; at += 1)
    for (const child of nodes[at] ?? []) if (Array.isArray(child)) nodes.push(child)
  const tree = Buffer.alloc(nodes.length * 6)
  nodes.forEach((node, at) => {
    node.forEach((record, side) => {
      const value = Array.isArray(record)
        ? nodes.indexOf(record)
        : record === null
          ? nodes.length
          : nodes.length + 16 + (-1 - record)
      tree.writeUIntBE(value, at * 6 + side * 3, 3)
    })
  })
  const metadata = encode({
    binary_format_major_version: 2,
    binary_format_minor_version: 0,
    build_epoch: 1_700_000_000,
    database_type: 'test',
    description: {},
    ip_version: 6,
    languages: [],
    node_count: nodes.length,
    record_size: 24,
  })
  const path = join(dir, `${name}.mmdb`)
  const marker = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1')
  await writeFile(path, Buffer.concat([tree, Buffer.alloc(16), ...data, marker, metadata]))
  return path
}

function encode(value: unknown): Buffer {
  if (typeof value === 'string') {
    const text = Buffer.from(value)
    if (text.length < 29) return Buffer.concat([Buffer.of((2 << 5) | text.length), text])
    return Buffer.concat([Buffer.of((2 << 5) | 29, text.length - 29), text])
  }
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    return Buffer.concat([Buffer.of((6 << 5) | 4), bytes])
  }
  if (Array.isArray(value)) return Buffer.concat([Buffer.of(value.length, 11 - 7), ...value.map(encode)])
  const entries = Object.entries(value ?? {})
  return Buffer.concat([Buffer.of((7 << 5) | entries.length), ...entries.flat().map(encode)])
}

function ipv6Bits(address: string): (0 | 1)[] {
  const [head = '', tail = ''] = address.split('::')
  const groups = (text: string) => (text ? text.split(':').map((group) => Number.parseInt(group, 16)) : [])
  const front = groups(head)
  const back = groups(tail)
  const all = [...front, ...Array(8 - front.length - back.length).fill(0), ...back]
  return all.flatMap((group) => Array.from({ length: 16 }, (_, bit) => ((group >> (15 - bit)) & 1 ? 1 : 0)))
}
