import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileExpression, ExpressionError, type ExpressionErrorCode, inputOf } from './expression.ts'

const claims = JSON.parse(`{
  "sub": "repo:o/r", "n": 42, "s": "42", "yes": true, "nothing": null, "huge": 12345678901234567890,
  "groups": ["a", "b"], "kubernetes.io": {"namespace": "jobs"}, "mixed": ["a", 12345678901234567890],
  "__proto__": {"x": "own"}
}`)
const holds = (text: string) => compileExpression(text, 'claims', 'bool').evaluate(inputOf('claims', claims))
const stringOf = (text: string) =>
  compileExpression(text, 'claims', 'string').evaluate(inputOf('claims', claims))
const stringsOf = (text: string) =>
  compileExpression(text, 'claims', 'strings').evaluate(inputOf('claims', claims))
const fails =
  (code: ExpressionErrorCode, why = /./) =>
  (error: unknown) =>
    error instanceof ExpressionError && error.code === code && why.test(error.message)

test('conditions', () => {
  for (const text of [
    'claims.sub == "repo:o/r"',
    'claims["sub"].startsWith("repo:o/")',
    'claims["kubernetes.io"].namespace in ["jobs", "cron"]',
    'claims.n == 42 && string(claims.n) == claims.s',
    '"a" in claims.groups && claims.groups.all(g, g in ["a", "b", "c"])',
    '!has(claims.environment) || claims.environment == "prod"',
    'claims.nothing == null',
    'claims.yes',
    '"sub" in claims && !("constructor" in claims)',
  ])
    assert.equal(holds(text), true, text)
  for (const text of ['claims.n == "42"', 'claims.sub == "repo:o"', 'has(claims.toString)'])
    assert.equal(holds(text), false, text)
})

test('what is not there is an error, not false: a negation cannot make it true', () => {
  for (const text of [
    'claims.ref == "x"',
    '!(claims.ref == "x")',
    'claims.ref != "x"',
    'claims.sub.length',
    'claims.constructor == claims.constructor',
    'has(claims.ref.name)',
    'claims.groups[2] == "c"',
  ])
    assert.throws(() => holds(text), ExpressionError, text)
  assert.throws(() => holds('claims.ref == "x"'), fails('missing', /reads ref, which is not there/))
})

test('what is not true or false is neither', () => {
  for (const text of ['claims.sub', 'claims.n', 'claims.nothing', 'claims.groups'])
    assert.throws(() => holds(text), fails('unfit'), text)
  for (const text of ['1', '"true"', '[true]'])
    assert.throws(() => holds(text), fails('not_served', /where true or false is needed/), text)
})

test('numbers that JSON could not carry exactly are not read', () => {
  for (const text of [
    'claims.huge == 12345678901234567000.0',
    'claims.huge != 1',
    'string(claims.huge) == "1"',
    '!has(claims.huge)',
  ])
    assert.throws(() => holds(text), fails('unfit'), text)
  assert.throws(() => stringOf('string(claims.huge)'), fails('unfit'))
  assert.throws(() => stringsOf('claims.mixed'), fails('unfit'))
})

test('strings and lists of strings, the same at every evaluation', () => {
  assert.equal(stringOf('"github:" + claims.sub + ":" + string(claims.n)'), 'github:repo:o/r:42')
  assert.deepEqual(stringsOf('claims.sub'), ['repo:o/r'])
  const mapped = compileExpression('["ci"] + claims.groups.map(g, "team-" + g)', 'claims', 'strings')
  for (let times = 0; times < 3; times += 1)
    assert.deepEqual(mapped.evaluate(inputOf('claims', claims)), ['ci', 'team-a', 'team-b'])
  assert.deepEqual(stringsOf('has(claims.roles) ? claims.roles : []'), [])
  assert.throws(() => stringOf('claims.n'), fails('unfit', /does not give a string/))
  assert.throws(() => stringOf('"a" + claims.n'), fails('unfit'))
  assert.throws(() => stringsOf('claims.n'), fails('unfit'))
  assert.throws(() => stringsOf('[claims.n]'), fails('unfit'))
})

test('a wrong expression is refused when it is compiled, with its place', () => {
  const wrong: readonly [string, RegExp][] = [
    ['claims.sub ==', /Unexpected token: EOF \(at character 14\)/],
    ['clams.sub == "a"', /Unknown variable: clams \(at character 1\)/],
    ['claims.sub.startswith("a")', /calls startswith, which is not served/],
    ['"a" + 1 == "b"', /no such overload/],
    ['claims.sub = "a"', /at character/],
    ['', /./],
    ['claims.n + '.repeat(60), /./],
    [`${'('.repeat(40)}true${')'.repeat(40)}`, /maxDepth/],
    [Array.from({ length: 60 }, () => 'claims.yes').join(' && '), /maxAstNodes/],
    ['x'.repeat(2001), /longer than 2000 characters/],
  ]
  for (const [text, why] of wrong) assert.throws(() => holds(text), fails('not_served', why), text)
})

test('what could run long or grow large is not served', () => {
  for (const [text, why] of [
    ['claims.sub.matches("(a+)+$")', /matches, which is not served: use ==/],
    ['claims.groups.exists(a, claims.groups.exists(b, a == b))', /exists inside of another/],
    ['claims.groups.map(a, claims.groups.map(b, b)).size() > 0', /map inside of another/],
    ['claims.sub.split("").size() > 1', /split, which is not served/],
    ['claims.groups.join() == "ab"', /join, which is not served/],
    ['cel.bind(t, claims.sub + claims.sub, t + t) == "x"', /bind, which is not served/],
    ['bytes(claims.sub).json().x == 1', /json, which is not served/],
  ] as const)
    assert.throws(() => holds(text), fails('not_served', why), text)
  assert.throws(
    () => inputOf('claims', { groups: Array.from({ length: 1001 }, () => 'g') }),
    fails('unfit', /more than 1000/),
  )
})

test('one comprehension over the longest list, at its most, is done soon', () => {
  const groups = Array.from({ length: 1000 }, (_, at) => `g${at}`)
  const clause = Array.from({ length: 12 }, (_, at) => `g.contains("x${at}")`).join(' || ')
  const expression = compileExpression(`claims.groups.exists(g, ${clause})`, 'claims', 'bool')
  const before = process.cpuUsage()
  assert.equal(expression.evaluate(inputOf('claims', { groups })), false)
  const { user, system } = process.cpuUsage(before)
  assert.ok(user + system < 500_000, `${user + system} us of CPU`)
})

test('an error says nothing of the values', () => {
  const secret = { s: 'hunter2' }
  for (const text of ['bool(claims.s)', 'int(claims.s) == 1', 'claims.s[0] == "h"', 'claims[claims.s] == 1'])
    assert.throws(
      () => compileExpression(text, 'claims', 'bool').evaluate(inputOf('claims', secret)),
      (error) => error instanceof ExpressionError && !error.message.includes('hunter2'),
      text,
    )
})
