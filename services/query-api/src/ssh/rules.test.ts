import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allowedBy } from './rules.ts'

const [company, partner] = ['https://company.example', 'https://partner.example']
const rule = {
  ...{ lifeSecMax: 60, sourceAddress: 'none' as const },
  ...{ extensions: [], hosts: [], principals: ['deploy'] },
}
const asks = { principals: [], lifeSec: undefined }
const of = (issuer: string, ...delegation: string[]) => ({
  ...{ issuer, subject: 'ann', groups: ['admins'] },
  delegation: delegation.map((by) => ({ issuer: by, subject: 'bob', kind: 'person' })),
})

test('a group that a rule has of one issuer is no group of the same name elsewhere', () => {
  const rules = [{ ...rule, groups: [{ issuer: company, group: 'admins' }] }]
  assert.ok('principals' in allowedBy(rules, of(company), asks))
  assert.ok('why' in allowedBy(rules, of(partner), asks))
})

test('issuers of a rule are asked of who acts and of whose groups they act with', () => {
  const rules = [{ ...rule, groups: ['admins'], issuers: [company] }]
  assert.ok('principals' in allowedBy(rules, of(company), asks))
  assert.ok('principals' in allowedBy(rules, of(company, company), asks))
  assert.ok('why' in allowedBy(rules, of(company, partner), asks))
  assert.ok('why' in allowedBy(rules, of(partner, company), asks))
})
