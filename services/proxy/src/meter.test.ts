import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Caps, Refusal, SessionBudget } from '@portcullis/kernel'
import fc from 'fast-check'
import { createMeter, createPool } from './meter.ts'
import { refusal } from './refusals.ts'

const refuse = (reason: Parameters<typeof refusal>[0]): Refusal =>
  refusal(reason, { id: 'd', policyVersion: 'p' })

/** A ledger of one host that grants at most what is left. */
function budgetOf(rows: number, bytes: number): SessionBudget & { left: { rows: number; bytes: number } } {
  const left = { rows, bytes }
  const lease = (kind: 'rows' | 'bytes') => (wanted: number) => {
    const got = Math.min(wanted, left[kind])
    left[kind] -= got
    return got
  }
  const giveBack = (kind: 'rows' | 'bytes') => (unused: number) => {
    left[kind] += unused
  }
  return {
    left,
    takeCommands: () => 0,
    takeThrottled: () => 0,
    takeCounted: () => 0,
    leaseRows: lease('rows'),
    leaseBytes: lease('bytes'),
    returnRows: giveBack('rows'),
    returnBytes: giveBack('bytes'),
    windowFreesInMs: () => 1000,
    close: () => undefined,
  }
}

/** Passes rows of these sizes as the relay does; what went through, and why it stopped. */
function pass(caps: Caps, budget: SessionBudget, sizes: readonly number[]) {
  const pool = createPool(budget)
  const meter = createMeter(caps, pool, refuse)
  let rows = 0
  let bytes = 0
  for (const size of sizes) {
    if (meter.rowsLeft < 1 || meter.bytesLeft < size) {
      const refused = meter.refill(1, size)
      if (refused) {
        meter.settle()
        pool.drain()
        return { rows, bytes, reason: refused.reason }
      }
    }
    meter.rowsLeft--
    meter.bytesLeft -= size
    rows++
    bytes += size
  }
  meter.settle()
  pool.drain()
  return { rows, bytes, reason: undefined }
}

test('no cap: nothing is counted', () => {
  assert.deepEqual(pass({ windowMs: 1 }, budgetOf(0, 0), [10, 10_000_000]), {
    rows: 2,
    bytes: 10_000_010,
    reason: undefined,
  })
})

test('a statement cap lets through its rows exactly', () => {
  const { rows, reason } = pass({ windowMs: 1, rowsPerStatement: 3 }, budgetOf(0, 0), [1, 1, 1, 1])
  assert.deepEqual([rows, reason], [3, 'cap_rows_statement'])
})

test('whatever the caps and the rows, no cap is exceeded and all that was not used is given back', () => {
  const cap = fc.option(fc.integer({ min: 1, max: 5000 }), { nil: undefined })
  fc.assert(
    fc.property(
      cap,
      cap,
      cap,
      cap,
      fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 100 }),
      (rowsS, bytesS, rowsW, bytesW, sizes) => {
        const caps: Caps = {
          windowMs: 1,
          ...(rowsS !== undefined && { rowsPerStatement: rowsS }),
          ...(bytesS !== undefined && { bytesPerStatement: bytesS }),
          ...(rowsW !== undefined && { rowsPerWindow: rowsW }),
          ...(bytesW !== undefined && { bytesPerWindow: bytesW }),
        }
        const budget = budgetOf(rowsW ?? 0, bytesW ?? 0)
        const { rows, bytes, reason } = pass(caps, budget, sizes)
        assert.ok(rows <= Math.min(rowsS ?? Infinity, rowsW ?? Infinity))
        assert.ok(bytes <= Math.min(bytesS ?? Infinity, bytesW ?? Infinity))
        if (rowsW !== undefined) assert.equal(budget.left.rows, rowsW - rows)
        if (bytesW !== undefined) assert.equal(budget.left.bytes, bytesW - bytes)
        if (reason === undefined) assert.equal(rows, sizes.length)
      },
    ),
  )
})
