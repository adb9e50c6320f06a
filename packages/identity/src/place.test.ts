import assert from 'node:assert/strict'
import { test } from 'node:test'
import { placeOf } from './place.ts'

test('places of addresses, however they are spelled', () => {
  const cases: [string, string, string][] = [
    ['10.1.2.3', '10.1.2.3', '10.1.2.0/24'],
    ['::ffff:10.1.2.3', '10.1.2.3', '10.1.2.0/24'],
    ['::FFFF:a01:203', '10.1.2.3', '10.1.2.0/24'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64', '2001:db8:1::/48'],
    ['2001:0DB8:0001:0002:ffff::1', '2001:db8:1:2::/64', '2001:db8:1::/48'],
    ['2001:db8::1', '2001:db8:0:0::/64', '2001:db8:0::/48'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64', 'fe80:0:0::/48'],
    ['::1', '0:0:0:0::/64', '0:0:0::/48'],
    ['64:ff9b::10.1.2.3', '64:ff9b:0:0::/64', '64:ff9b:0::/48'],
    ['', '', ''],
    ['not an address', 'not an address', 'not an address'],
  ]
  for (const [address, exact, network] of cases) {
    assert.equal(placeOf(address, 'address'), exact, address)
    assert.equal(placeOf(address, 'network'), network, address)
  }
})

test('a host that changes its address within its /64 has not moved, one in the next has', () => {
  const of = (address: string) => placeOf(address, 'address')
  assert.equal(of('2001:db8::a'), of('2001:db8::ffff:1'))
  assert.notEqual(of('2001:db8::a'), of('2001:db8:0:1::a'))
})
