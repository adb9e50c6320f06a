/** The judge of the chaos runs sees what it is there to see. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CommandRow, judgeTrail, type TrailFaults } from './trail.ts'

const serverLog = `chaos-0|LOG:  statement: select 'm0n1z'
chaos-1|LOG:  execute <unnamed>: select 'm1n1z',
	$1::int
chaos-1|DETAIL:  Parameters: $1 = '7'
chaos-0|ERROR:  division by zero
chaos-0|STATEMENT:  select 'm0n2z', 1/0
chaos-0|LOG:  statement: select 'm0n2z', 1/0
watch|LOG:  statement: select 'm9n9z'
`
const right = [
  row('s.1', "select 'm0n1z'", 'ok'),
  row('t.1', "select 'm1n1z', $1::int", 'unknown'),
  row('s.2', "select 'm0n2z', 1/0", 'error'),
  row('s.3', "select 'm0n3z'", 'unknown'),
  row('s.4', "select 'm0n4z'", 'refused', { decision_reason: 'draining' }),
]
const told = new Map([
  ['m0n1z', 'ok'],
  ['m1n1z', 'ok'],
  ['m0n2z', 'error'],
  ['m0n3z', 'lost'],
  ['m0n4z', 'error'],
  ['m0n5z', 'lost'],
] as const)

test('a trail that agrees with all witnesses has no fault', () => {
  const { faults, ran, outcomes } = judgeTrail(right, { serverLog, ledger: ['m0n1z'], told })
  assert.deepEqual(counts(faults), {})
  assert.equal(ran, 3)
  assert.deepEqual(outcomes, { ok: 1, unknown: 2, error: 1, 'refused: draining': 1 })
})

const wrong: [string, CommandRow[], string[], Partial<Record<keyof TrailFaults, number>>][] = [
  ['a command is missing', right.slice(1), [], { lost: 1, contradicted: 1 }],
  [
    'what ran is said to be refused',
    changed(1, { outcome: 'refused', decision_reason: 'x' }),
    [],
    { lost: 1, contradicted: 1 },
  ],
  ['a row twice', [...right, ...right.slice(0, 1)], [], { doubled: 2, invented: 1 }],
  ['a text under two ids', [...right, row('u.1', "select 'm0n1z'", 'unknown')], [], { doubled: 1 }],
  ['what never ran is said to be ok', changed(3, { outcome: 'ok' }), [], { invented: 1 }],
  ['a row in the table, an error in the trail', right, ['m0n2z'], { contradicted: 1 }],
  ['a success told, an error in the trail', changed(0, { outcome: 'error' }), [], { contradicted: 1 }],
  ['a refusal without a reason', changed(4, { decision_reason: '' }), [], { contradicted: 1 }],
  ['a command without an end', changed(3, { phase: 'started', outcome: '' }), [], { open: 1 }],
]
for (const [what, rows, ledger, expected] of wrong)
  test(`it sees: ${what}`, () => {
    assert.deepEqual(counts(judgeTrail(rows, { serverLog, ledger, told }).faults), expected)
  })

function row(command_id: string, text: string, outcome: string, over: Partial<CommandRow> = {}): CommandRow {
  return {
    command_id,
    text,
    stage: 'run',
    phase: 'finished',
    outcome,
    decision_action: 'allow',
    decision_reason: '',
    ...over,
  }
}

function changed(index: number, over: Partial<CommandRow>): CommandRow[] {
  return right.map((one, at) => (at === index ? { ...one, ...over } : one))
}

function counts(faults: TrailFaults): Record<string, number> {
  return Object.fromEntries(
    Object.entries(faults).flatMap(([kind, texts]) => (texts.length > 0 ? [[kind, texts.length]] : [])),
  )
}
