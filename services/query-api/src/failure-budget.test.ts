import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFailureBudget } from './failure-budget.ts'

test('an address has its own budget, of IPv6 the whole /64, however it is spelled', () => {
  const budget = createFailureBudget(2, { monotonicMs: () => 0 })
  const mustWait = (address: string) => budget.waitMs(address) > 0
  for (const address of ['192.0.2.1', '::ffff:192.0.2.1']) budget.spend(address)
  assert.ok(mustWait('192.0.2.1'))
  assert.ok(!mustWait('192.0.2.2'))
  for (const address of ['2001:db8:0:1::5', '2001:DB8:0:1:ffff:0:0:9']) budget.spend(address)
  for (const address of ['2001:db8:0:1::', '2001:db8::1:0:0:0:7', '2001:db8:0:1:1:2:3:4%eth0'])
    assert.ok(mustWait(address), address)
  for (const address of ['2001:db8:0:2::5', '2001:db8::5', '::1', 'nowhere'])
    assert.ok(!mustWait(address), address)
})
