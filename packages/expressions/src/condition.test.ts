import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileCondition } from './condition.ts'
import { ExpressionError } from './expression.ts'

const schema = {
  command: { verb: 'string', effects: 'list<string>', objects: 'list<map<string, dyn>>', where: 'string' },
  session: { rows_out: 'int' },
  target: { labels: 'map<string, string>' },
}
const input = {
  command: { verb: 'DELETE', effects: ['delete'], objects: [{ name: 't', columns: ['a', 'b'] }] },
  session: { rows_out: 12n },
  target: { labels: { env: 'prod' } },
}
const answer = (text: string) => compileCondition(text, schema).evaluate(input)

test('true, false, and what cannot be known', () => {
  for (const text of [
    'command.verb == "DELETE"',
    'session.rows_out > 10 && session.rows_out + 1 == 13',
    'command.objects.exists(o, o.name == "t" && "b" in o.columns)',
    'target.labels.env == "prod"',
    'command.where == "none" || command.verb == "DELETE"',
    'command.verb == "DELETE" || command.where == "none"',
    '!has(command.where)',
  ])
    assert.equal(answer(text), true, text)
  for (const text of [
    'command.verb == "SELECT"',
    'command.where == "none" && command.verb == "SELECT"',
    'command.verb == "SELECT" && command.where == "none"',
  ])
    assert.equal(answer(text), false, text)
  for (const text of [
    'command.where == "none"',
    'command.where != "none"',
    '!(command.where == "none")',
    'command.where == "none" || command.verb == "SELECT"',
    'command.where == "none" && command.verb == "DELETE"',
    'target.labels.team == "a"',
    'target.labels["team"] != "a"',
    'command.objects[3].name == "t"',
  ])
    assert.equal(answer(text), undefined, text)
})

test('what it reads', () => {
  const { reads } = compileCondition(
    'target.labels.env == "x" && command["verb"] in ["A"] && command.objects.exists(o, o.name == command.verb)',
    schema,
  )
  assert.deepEqual(reads, ['command.objects', 'command.verb', 'target.labels'])
})

test('mistakes are found when it is compiled', () => {
  for (const [text, why] of [
    ['command.verbs == "x"', /No such key: verbs/],
    ['command.verb > 3', /no such overload: string > int/],
    ['command.effects == "x"', /no such overload/],
    ['comand.verb == "x"', /Unknown variable: comand/],
    ['command.verb', /gives string/],
    ['command.verb.matches("a+")', /matches, which is not served/],
    ['command.verb == ', /at character/],
    [`command.verb == "${'x'.repeat(2000)}"`, /longer than/],
  ] as const)
    assert.throws(
      () => compileCondition(text, schema),
      (error) => error instanceof ExpressionError && error.code === 'not_served' && why.test(error.message),
      text,
    )
})
