import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { judgeEntry, type ProxyHeader, readProxyHeader, trustedPeer } from './proxy-protocol.ts'

const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
const startup = Buffer.from('00000008 04d2162f'.replace(' ', ''), 'hex')

function header(
  versionAndCommand: number,
  familyAndTransport: number,
  body: Uint8Array,
  length = body.length,
) {
  return Buffer.from([
    ...signature,
    versionAndCommand,
    familyAndTransport,
    length >> 8,
    length & 0xff,
    ...body,
  ])
}
const v4Body = Buffer.from([203, 0, 113, 7, 10, 0, 0, 1, 0xd4, 0x31, 0x3c, 0x38])
const v6Body = Buffer.from(`20010db8${'00'.repeat(11)}42${'fd'}${'00'.repeat(15)}d4313c38`, 'hex')
const tlv = (type: number, value: Uint8Array | string) => {
  const bytes = Buffer.from(value)
  return Buffer.from([type, bytes.length >> 8, bytes.length & 0xff, ...bytes])
}

const headers: readonly [string, Buffer, Partial<Extract<ProxyHeader, { kind: 'header' }>>][] = [
  ['IPv4', header(0x21, 0x11, v4Body), { local: false, source: { address: '203.0.113.7', port: 54321 } }],
  ['IPv6', header(0x21, 0x21, v6Body), { local: false, source: { address: '2001:db8::42', port: 54321 } }],
  [
    'IPv4 with TLVs',
    header(
      0x21,
      0x11,
      Buffer.concat([v4Body, tlv(2, 'gate.example'), tlv(4, ''), tlv(0x20, Buffer.alloc(300))]),
    ),
    { local: false, source: { address: '203.0.113.7', port: 54321 } },
  ],
  [
    'IPv6 at the largest length',
    header(0x21, 0x21, Buffer.concat([v6Body, tlv(4, Buffer.alloc(4096 - 36 - 3))])),
    { local: false, source: { address: '2001:db8::42', port: 54321 } },
  ],
  ['LOCAL without addresses', header(0x20, 0x00, Buffer.alloc(0)), { local: true }],
  ['LOCAL with addresses, which do not count', header(0x20, 0x11, v4Body), { local: true }],
  ['UNSPEC', header(0x21, 0x00, Buffer.alloc(0)), { local: false }],
  ['UNSPEC with a body to skip', header(0x21, 0x00, Buffer.from('whatever')), { local: false }],
  ['UNIX', header(0x21, 0x31, Buffer.alloc(216)), { local: false }],
]

const malformed: readonly [RegExp, Buffer][] = [
  [/version 1 is not accepted/, Buffer.from('PROXY TCP4 203.0.113.7 10.0.0.1 54321 15432\r\n')],
  [/version 1 is not 2/, header(0x11, 0x11, v4Body)],
  [/version 3 is not 2/, header(0x31, 0x11, v4Body)],
  [/command 2 /, header(0x22, 0x11, v4Body)],
  [/family and transport 0x41/, header(0x21, 0x41, v4Body)],
  [/family and transport 0x13/, header(0x21, 0x13, v4Body)],
  [/not a stream/, header(0x21, 0x12, v4Body)],
  [/not a stream/, header(0x21, 0x10, v4Body)],
  [/too short for its addresses/, header(0x21, 0x11, v4Body.subarray(0, 11))],
  [/too short for its addresses/, header(0x21, 0x21, v4Body)],
  [/over 4096/, header(0x21, 0x11, v4Body, 4097)],
  [/over 4096/, header(0x20, 0x00, Buffer.alloc(0), 65535)],
  [/inside the head of a TLV/, header(0x21, 0x11, Buffer.concat([v4Body, Buffer.of(4)]))],
  [/inside the head of a TLV/, header(0x21, 0x11, Buffer.concat([v4Body, Buffer.of(4, 0)]))],
  [/TLV is longer/, header(0x21, 0x11, Buffer.concat([v4Body, Buffer.of(4, 0, 2, 0)]))],
  [/TLV is longer/, header(0x21, 0x11, Buffer.concat([v4Body, tlv(4, 'ok'), Buffer.of(4, 255, 255)]))],
]

/** As HAProxy 2.6.12 sent them, recorded on the wire: `hello` is the client's. */
const recorded: readonly [string, string, Partial<Extract<ProxyHeader, { kind: 'header' }>>][] = [
  ['health check', '0d0a0d0a000d0a515549540a20000000', { local: true }],
  [
    'IPv4',
    '0d0a0d0a000d0a515549540a2111000c7f0000017f000001c7504cf568656c6c6f',
    { local: false, source: { address: '127.0.0.1', port: 51024 } },
  ],
  [
    'IPv6',
    '0d0a0d0a000d0a515549540a212100240000000000000000000000000000000100000000000000000000000000000001d1784cf568656c6c6f',
    { local: false, source: { address: '::1', port: 53624 } },
  ],
  [
    'TLS, with its details, the server name and a checksum',
    '0d0a0d0a000d0a515549540a211100507f0000017f000001cef24cf60300047b19a67c02000c676174652e6578616d706c650500002000280100000000210007544c5376312e33230016544c535f4145535f3235365f47434d5f53484133383468656c6c6f',
    { local: false, source: { address: '127.0.0.1', port: 52978 } },
  ],
]

describe("a real balancer's headers", () => {
  for (const [name, hexBytes, expected] of recorded)
    test(name, () => {
      const bytes = Buffer.from(hexBytes, 'hex')
      const result = readProxyHeader(bytes)
      const bytesUsed = bytes.length - (name === 'health check' ? 0 : 5)
      assert.deepEqual(result, { kind: 'header', bytesUsed, ...expected })
    })
})

describe('whole headers, followed by the client', () => {
  for (const [name, bytes, expected] of headers)
    test(name, () => {
      for (const after of [Buffer.alloc(0), startup, header(0x21, 0x11, v4Body)])
        assert.deepEqual(readProxyHeader(Buffer.concat([bytes, after])), {
          kind: 'header',
          bytesUsed: bytes.length,
          ...expected,
        })
    })
})

describe('byte by byte, every header is incomplete until it is whole', () => {
  for (const [name, bytes] of headers)
    test(name, () => {
      const stream = Buffer.concat([bytes, startup])
      const whole = readProxyHeader(stream)
      for (let length = 0; length <= stream.length; length += 1)
        assert.deepEqual(
          readProxyHeader(stream.subarray(0, length)),
          length < bytes.length ? { kind: 'incomplete' } : whole,
          `after ${length} bytes`,
        )
    })
})

describe('malformed headers', () => {
  for (const [why, bytes] of malformed)
    test(`${why} ${bytes.subarray(0, 28).toString('hex')}`, () => {
      let decidedAt: number | undefined
      for (let length = 0; length <= bytes.length; length += 1) {
        const result = readProxyHeader(bytes.subarray(0, length))
        if (result.kind === 'malformed') decidedAt ??= length
        // Once refused, more bytes never make it good again.
        else assert.ok(decidedAt === undefined && result.kind === 'incomplete', `after ${length} bytes`)
      }
      const result = readProxyHeader(bytes)
      assert.ok(result.kind === 'malformed')
      assert.match(result.why, why)
    })
})

test('a length that is refused is refused before anything of that length is awaited', () => {
  assert.equal(readProxyHeader(header(0x21, 0x11, Buffer.alloc(0), 65535)).kind, 'malformed')
})

test('what other protocols begin with is no header, from the first byte that differs', () => {
  const first = [
    '\0\0\0\x08\x04\xd2\x16\x2f',
    'SSH-2.0-OpenSSH_9',
    'GET / HTTP/1.1',
    'POST / HTTP/1.1',
    '\x16\x03\x01',
  ]
  for (const text of first) assert.deepEqual(readProxyHeader(Buffer.from(text, 'latin1')), { kind: 'none' })
  assert.deepEqual(readProxyHeader(Buffer.from('P')), { kind: 'incomplete' })
  assert.deepEqual(readProxyHeader(Buffer.from('PO')), { kind: 'none' })
  assert.deepEqual(readProxyHeader(Buffer.from('\r\n\r\n\0\r\nQUIT\r', 'latin1')), { kind: 'none' })
  assert.deepEqual(readProxyHeader(Buffer.alloc(0)), { kind: 'incomplete' })
})

test('random bytes never throw, and never use more bytes than there are', () => {
  let seed = 42
  const random = () => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31
    return seed
  }
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = Buffer.from([...signature, ...Array.from({ length: random() % 64 }, () => random() % 256)])
    if (round % 2 && bytes.length > 16) {
      bytes[12] = 0x20 | (random() % 2)
      bytes[14] = 0
    }
    const result = readProxyHeader(bytes)
    if (result.kind === 'header') assert.ok(result.bytesUsed <= bytes.length)
  }
})

describe('the rule at the door', () => {
  const whole = header(0x21, 0x11, v4Body)
  const trusted = { trusted: true, required: true }

  test('a trusted peer speaks for its client', () => {
    assert.deepEqual(judgeEntry(Buffer.concat([whole, startup]), trusted), {
      kind: 'proceed',
      bytesUsed: whole.length,
      viaProxy: true,
      source: { address: '203.0.113.7', port: 54321 },
    })
    assert.deepEqual(judgeEntry(whole.subarray(0, 20), trusted), { kind: 'wait' })
    assert.deepEqual(judgeEntry(header(0x20, 0, Buffer.alloc(0)), trusted), {
      kind: 'proceed',
      bytesUsed: 16,
      viaProxy: true,
    })
  })

  test('a trusted peer without a header is refused, unless it need not send one', () => {
    const refusal = judgeEntry(startup, trusted)
    assert.ok(refusal.kind === 'refuse')
    assert.match(refusal.why, /sent no PROXY/)
    assert.deepEqual(judgeEntry(startup, { trusted: true, required: false }), {
      kind: 'proceed',
      bytesUsed: 0,
      viaProxy: false,
    })
  })

  test('a malformed header is refused even where none is required', () => {
    for (const required of [true, false]) {
      const refusal = judgeEntry(header(0x21, 0x11, Buffer.alloc(3)), { trusted: true, required })
      assert.ok(refusal.kind === 'refuse')
      assert.match(refusal.why, /malformed PROXY header/)
    }
  })

  test("an untrusted peer's header is only its own bytes", () => {
    for (const bytes of [whole, Buffer.from('PROXY TCP4'), startup, Buffer.alloc(0)])
      assert.deepEqual(judgeEntry(bytes, { trusted: false, required: true }), {
        kind: 'proceed',
        bytesUsed: 0,
        viaProxy: false,
      })
  })
})

describe('trusted peers', () => {
  test('match by network, of both families and mapped', () => {
    const trusts = trustedPeer(['10.0.0.0/8', '192.0.2.7', 'fd00::/8', '2001:db8::1/128'])
    for (const address of [
      '10.0.0.1',
      '10.255.255.255',
      '192.0.2.7',
      '::ffff:10.1.2.3',
      'fd12::1',
      '2001:db8::1',
    ])
      assert.ok(trusts(address), address)
    for (const address of [
      '11.0.0.1',
      '9.255.255.255',
      '192.0.2.8',
      '::ffff:11.0.0.1',
      'fe80::1',
      '2001:db8::2',
      '',
      'x',
    ])
      assert.ok(!trusts(address), address)
  })

  test('nobody by default', () => {
    assert.ok(!trustedPeer([])('127.0.0.1'))
  })

  test('an entry that is no network is refused and quoted', () => {
    for (const cidr of [
      '',
      '10.0.0.0/33',
      '10.0.0.0/',
      '10.0.0/8',
      'fd00::/129',
      'balancer',
      '10.0.0.0/8/8',
      '10.0.0.0/-1',
      '1.2.3.4/1e1',
    ])
      assert.throws(
        () => trustedPeer([cidr]),
        (error) => error instanceof RangeError && error.message.includes(JSON.stringify(cidr)),
      )
  })
})
