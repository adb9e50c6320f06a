import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Analysis } from '@portcullis/kernel'
import { createPolicyReader } from './documents.ts'
import { live, subject } from './testing/subject.ts'

const file = (text: string) => ({ file: 'policy.yaml', text })
const document = (name: string, text: string) => ({ name, text })
const reads = `rules: [{ name: reads, when: 'command.verb == "SELECT"', action: allow }]`
const drops = `rules: [{ name: drops, when: 'command.verb == "DROP TABLE"', action: block }]`
const all = 'rules: [{ name: drops, action: allow }]'

const analysis = (verb: string): Analysis => ({
  ...{ text: verb, textBytes: verb.length, fingerprint: '', verb, effects: ['read'], objects: [] },
  ...{ privileged: false, returnsRows: true, undoes: false },
})

function startReader() {
  const refused: string[] = []
  const read = createPolicyReader((name, problems) => refused.push(`${name}: ${problems[0]}`))
  const judged = ({ policy }: ReturnType<typeof read>, verb: string) => {
    const one = policy?.rulesFor(subject()).judge(analysis(verb), () => live())
    return one && `${one.action} ${one.rule}`
  }
  return { read, refused, judged }
}

test('rules of all documents are asked together; a rule of the API says which document it is of', () => {
  const { read, judged } = startReader()
  assert.equal(read(undefined, []).policy, undefined)
  const both = read(file(drops), [document('b', reads), document('a', all)])
  assert.equal(judged(both, 'DROP TABLE'), 'block drops')
  assert.equal(judged(both, 'SELECT'), 'allow b/reads')
  assert.equal(judged(both, 'INSERT'), 'allow a/drops')
  const alone = read(undefined, [document('b', reads)])
  assert.equal(judged(alone, 'SELECT'), 'allow b/reads')
  assert.equal(judged(alone, 'INSERT'), 'deny ')
  assert.notEqual(both.policy?.version, alone.policy?.version)
})

test('what has not changed is the same policy, so that what it keeps stays', () => {
  const { read } = startReader()
  const first = read(file(drops), [document('a', reads)])
  assert.equal(read(file(drops), [document('a', reads)]), first)
  assert.notEqual(read(file(drops), []), first)
  assert.equal(read(file(drops), [document('a', reads)]).policy?.version, first.policy?.version)
})

test('a document that does not read: what stood stands, and where nothing did, all is blocked', () => {
  const { read, refused, judged } = startReader()
  read(file(all), [document('a', drops)])
  const wrong = document('a', 'rules: [{ name: x, newer: 1, action: allow }]')
  assert.equal(judged(read(file(all), [wrong]), 'DROP TABLE'), 'block a/drops')
  assert.equal(judged(read(file(all), [wrong]), 'SELECT'), 'allow drops')
  assert.deepEqual(refused, ['a: a:1:20: rules.0.newer: unknown key'])
  const anew = startReader()
  assert.equal(judged(anew.read(file(all), [wrong]), 'SELECT'), 'block a/unreadable')
  assert.equal(judged(anew.read(file(all), [document('a', drops)]), 'DROP TABLE'), 'block a/drops')
})
