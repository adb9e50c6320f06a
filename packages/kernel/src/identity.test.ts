import assert from 'node:assert/strict'
import { test } from 'node:test'
import { belongsTo } from './identity.ts'

const [company, partner] = ['https://company.example', 'https://partner.example']
const of = (
  issuer: string,
  groups: string[],
  ...delegation: { issuer: string; subject: string; kind: string }[]
) => ({
  ...{ issuer, groups, delegation },
})
const companys = (group: string) => [{ issuer: company, group }]

test('a name alone is the group of whichever issuer; with an issuer it is that one', () => {
  assert.ok(belongsTo(of(company, ['admins']), ['admins']))
  assert.ok(belongsTo(of(partner, ['admins']), ['admins']))
  assert.ok(belongsTo(of(company, ['admins']), companys('admins')))
  assert.ok(!belongsTo(of(partner, ['admins']), companys('admins')))
  assert.ok(!belongsTo(of(company, ['guests']), companys('admins')))
  assert.ok(belongsTo(of(partner, ['guests']), [...companys('admins'), 'guests']))
})

test('no name that an issuer gives to a group makes it the group of another', () => {
  for (const name of [`${company}#admins`, `{"issuer":"${company}","group":"admins"}`, '[object Object]'])
    assert.ok(!belongsTo(of(partner, [name]), companys('admins')), name)
})

test('"*" is everybody, or everybody of that issuer', () => {
  assert.ok(belongsTo(of(partner, []), ['*']))
  assert.ok(belongsTo(of(company, []), companys('*')))
  assert.ok(!belongsTo(of(partner, ['*']), companys('*')))
})

test('whoever acts for somebody has the groups of who began, and of their issuer', () => {
  const sentBy = (issuer: string) => ({ issuer, subject: 'ann', kind: 'person' })
  assert.ok(belongsTo(of(partner, ['admins'], sentBy(company), sentBy(partner)), companys('admins')))
  assert.ok(!belongsTo(of(company, ['admins'], sentBy(partner)), companys('admins')))
})
