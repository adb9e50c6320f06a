import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Analysis } from '@portcullis/kernel'
import { createSqlAnalyzer, type SqlAnalyzer } from '@portcullis/sql'
import fc from 'fast-check'
import { createPolicy, type Judged, PolicyError, parsePolicy, type Subject } from './index.ts'
import { targetProblems } from './check-targets.ts'
import { fold } from './precedence.ts'
import type { ParsedRule } from './parse.ts'
import { live, noonMs, subject } from './testing/subject.ts'

let analyzer: SqlAnalyzer
before(async () => {
  analyzer = await createSqlAnalyzer({ cacheEntries: 1000, cacheBytesMax: 1 << 24 })
})
after(() => analyzer.close())

const read = (sql: string): Analysis => {
  const text = Buffer.from(sql)
  return analyzer.analyzeNow(text, 0, text.length)[0] as Analysis
}
const policyOf = (yaml: string) => createPolicy(parsePolicy(yaml, 'policy.yaml').rules)
const judge = (yaml: string, sql: string, who: Subject = subject(), when = live()): Judged =>
  policyOf(yaml)
    .rulesFor(who)
    .judge(read(sql), () => when)
const outcome = (...args: Parameters<typeof judge>) => {
  const { action, rule } = judge(...args)
  return rule === '' ? action : `${action} by ${rule}`
}
const problemsOf = (yaml: string): readonly string[] => {
  try {
    parsePolicy(yaml, 'p.yaml')
    return []
  } catch (error) {
    assert.ok(error instanceof PolicyError)
    return error.problems
  }
}

test('a target without rules is open; with one it denies what no rule allows', () => {
  const rules = `
rules:
  - { name: reads, match: { targets: [shop] }, when: 'command.effects.all(e, e == "read")', action: allow }
`
  assert.equal(outcome(rules, 'select 1'), 'allow by reads')
  assert.equal(outcome(rules, 'delete from t where id = 1'), 'deny')
  assert.equal(outcome(rules, 'delete from t where id = 1', subject({ target: 'other' })), 'allow')
  assert.equal(outcome(rules.replace('allow }', 'allow, observe: true }'), 'delete from t'), 'allow')
})

test('the most restrictive wins, whatever the order', () => {
  const actions = ['allow', 'mask', 'cap', 'hold', 'block'] as const
  const rule = fc.record({
    action: fc.constantFrom(...actions),
    observe: fc.boolean(),
    most: fc.integer({ min: 1, max: 9 }),
  })
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 8 }), fc.boolean(), fc.nat(), (parts, isOpen, turn) => {
      const rules = parts.map(({ action, observe, most }, index) => ({
        ...{ name: `r${index}`, action, observe, entry: index },
        ...(action === 'cap' && { cap: { rowsPerStatement: most } }),
        ...(action === 'mask' && {
          mask: { columns: ['a'], method: 'redact' as const, keep: 4, lost: 'mask' as const },
        }),
      })) as ParsedRule[]
      const judged = fold(rules, isOpen, {})
      const has = (action: string) => rules.some((one) => !one.observe && one.action === action)
      const wanted = has('block') ? 'block' : has('hold') ? 'hold' : has('allow') || isOpen ? 'allow' : 'deny'
      assert.equal(judged.action, wanted)
      // Of what is held they count once a person lets it pass.
      const mayPass = wanted === 'allow' || wanted === 'hold'
      assert.equal(judged.masks.length > 0, mayPass && has('mask'))
      assert.equal(judged.holds.length > 0, wanted === 'hold')
      const caps = rules.flatMap(({ observe, cap }) => (cap && !observe ? [cap.rowsPerStatement ?? 0] : []))
      assert.equal(
        judged.caps.rowsPerStatement?.most,
        mayPass && caps.length > 0 ? Math.min(...caps) : undefined,
      )
      const at = rules.length === 0 ? 0 : turn % rules.length
      const turned = fold([...rules.slice(at), ...rules.slice(0, at)], isOpen, {})
      assert.equal(turned.action, judged.action)
      assert.equal(turned.observed?.action, judged.observed?.action)
      // Another rule that does not allow never lets more pass.
      const order = ['allow', 'hold', 'deny', 'block']
      const more = fold([...rules, { name: 'x', action: 'hold', entry: 99 } as ParsedRule], isOpen, {})
      if (judged.action !== 'deny') assert.ok(order.indexOf(more.action) >= order.indexOf(judged.action))
    }),
  )
})

test('what cannot be known never allows, and always restrains', () => {
  const unreadable = 'selct 1'
  for (const [action, wanted] of [
    ['allow', 'deny'],
    ['hold', 'hold by r'],
    ['block', 'block by r'],
  ] as const) {
    const rules = `
rules:
  - { name: r, when: '"delete" in command.effects', action: ${action} }
`
    assert.equal(outcome(rules, unreadable), wanted)
    assert.equal(outcome(rules, "select dblink('', '')"), wanted)
    assert.equal(outcome(rules, 'delete from t where id = 1').split(' ')[0], action)
    const country = rules.replace('when:', 'match: { countries: [DE] }, when:')
    assert.equal(outcome(country, 'delete from t where id = 1'), wanted)
    const away = subject({ origin: { country: 'FR' } })
    assert.notEqual(outcome(country, 'delete from t where id = 1', away).split(' ')[0], action)
  }
  const either = `
rules:
  - { name: do, when: 'command.verb == "DO" || "delete" in command.effects', action: allow }
`
  assert.equal(outcome(either, 'do $$begin end$$'), 'allow by do')
  const notDo = `
rules:
  - { name: h, when: 'command.verb != "DO" && "delete" in command.effects', action: hold }
  - { name: a, action: allow }
`
  assert.equal(outcome(notDo, 'do $$begin end$$'), 'allow by a')
})

test('of more objects than can be looked through, none is known', () => {
  const rules = `rules: [{ name: x, when: '"x" in command.tables', action: block }, { name: a, action: allow }]`
  const naming = (count: number) =>
    `select 1 from ${Array.from({ length: count }, (_, at) => `t${at}`).join(', ')}`
  assert.equal(outcome(rules, naming(1000)), 'allow by a')
  assert.equal(outcome(rules, naming(1001)), 'block by x')
})

test('whom a rule is for', () => {
  const who = subject({
    role: 'writer',
    identity: { delegation: [{ issuer: 'i', subject: 'user:eve', kind: 'person' }] },
    origin: { country: 'DE', asn: 64500, address: '2001:db8::7' },
  })
  for (const [match, fits] of [
    ['protocols: [postgres]', true],
    ['protocols: [ssh]', false],
    ["targets: ['sh*p']", true],
    ["targets: ['x*', 'y']", false],
    ['labels: { env: prod }', true],
    ['labels: { env: [dev, prod] }', true],
    ['labels: { team: a }', false],
    ['roles: [writer]', true],
    ["roles: ['']", false],
    ['databases: [shop]', true],
    ["issuers: ['https://idp.test']", true],
    ["subjects: ['agent:*']", true],
    ["subjects: ['*:bob']", false],
    ['groups: [admins, agents]', true],
    ['groups: [admins]', false],
    ['delegated: true', true],
    ['delegated: false', false],
    ["actors: ['user:*']", true],
    ['countries: [DE]', true],
    ['countries: [FR]', false],
    ['asns: [64500]', true],
    ["networks: ['2001:db8::/32', 10.0.0.0/8]", true],
    ['networks: [10.0.0.0/8]', false],
    ["groups: [agents], subjects: ['agent:bob']", false],
  ] as const)
    assert.equal(
      outcome(
        `rules: [{ name: r, match: { ${match} }, action: block }, { name: a, action: allow }]`,
        'select 1',
        who,
      ),
      fits ? 'block by r' : 'allow by a',
      match,
    )
})

test('time of day, by the zone of the rule, over midnight, and never from what was kept', () => {
  const at = (time: string, text: string) =>
    outcome(
      `rules: [{ name: t, match: { time: { ${time} } }, action: block }, { name: a, action: allow }]`,
      'select 1',
      subject(),
      live({ nowMs: Date.parse(text) }),
    ) === 'block by t'
  assert.ok(at("from: '11:00', to: '13:00'", '2026-01-07T12:00:00Z'))
  assert.ok(!at("from: '11:00', to: '13:00'", '2026-01-07T13:00:00Z'))
  assert.ok(at("from: '13:00', to: '13:01', zone: Europe/Berlin", '2026-01-07T12:00:30Z'))
  assert.ok(at("from: '14:00', to: '14:01', zone: Europe/Berlin", '2026-07-08T12:00:30Z'))
  assert.ok(at("days: [tue], from: '22:00', to: '06:00'", '2026-01-07T05:59:00Z'))
  assert.ok(!at("days: [wed], from: '22:00', to: '06:00'", '2026-01-07T05:59:00Z'))
  assert.ok(at('days: [wed]', '2026-01-07T05:59:00Z'))
  assert.ok(at('days: [mon], outside: true', '2026-01-07T05:59:00Z'))

  const ruleset = policyOf(
    "rules: [{ name: t, match: { time: { from: '11:00', to: '13:00' } }, action: block }, { name: a, action: allow }]",
  ).rulesFor(subject())
  const analysis = read('select 1')
  const actions = [0, 2, 0].map((hours) =>
    ruleset.judge(analysis, () => live({ nowMs: noonMs + hours * 3_600_000 })),
  )
  assert.deepEqual(
    actions.map(({ action }) => action),
    ['block', 'allow', 'block'],
  )
  assert.equal(actions[0]?.attributes['time.now_ms'], String(noonMs))
})

test('totals of a session are asked every time, and stand on the event with what else was read', () => {
  const ruleset = policyOf(`
rules:
  - { name: much, when: 'session.rows_out > 100', action: block }
  - { name: all, when: 'command.where == "none"', action: hold }
  - { name: a, action: allow }
`).rulesFor(subject())
  const analysis = read('delete from t where id = 1')
  const judged = [100, 101, 3].map((rowsOut) => ruleset.judge(analysis, () => live({ rowsOut })))
  assert.deepEqual(
    judged.map(({ action }) => action),
    ['allow', 'block', 'allow'],
  )
  assert.deepEqual(judged[1]?.attributes, { 'command.where': '"some"', 'session.rows_out': '101' })
  assert.equal(ruleset.judge(read('selct'), live).attributes['command.where'], 'null')
})

test('what was decided is kept for texts that are alike, and for no other', () => {
  const { rulesFor } = policyOf(`
rules:
  - { name: all, when: 'command.where in ["none", "always"]', action: hold }
  - { name: a, action: allow }
`)
  const ruleset = rulesFor(subject())
  const judgeSql = (sql: string) => ruleset.judge(read(sql), live)
  assert.equal(judgeSql('delete from t where a = 1'), judgeSql('delete from t where a = 2'))
  assert.equal(judgeSql('delete from t where a = 1'), judgeSql('delete from t where a = 3'))
  for (const [one, other] of [
    ['delete from t where 1 = 2', 'delete from t where 1 = 1'],
    ['delete from t where id > 5', 'delete from t where id > 0'],
    ['delete from t where a = 1 or 1 = 2', 'delete from t where a = 1 or 1 = 1'],
    ["delete from t where a like 'x'", "delete from t where a like '%'"],
    ['delete from t where a < 1 or a > 5', 'delete from t where a < 5 or a > 1'],
  ] as const) {
    assert.equal(judgeSql(one).action, 'allow', one)
    assert.equal(judgeSql(other).action, 'hold', other)
    assert.equal(judgeSql(one).action, 'allow', one)
  }
})

test('a session that keeps its decisions decides as one that has none to keep', async () => {
  const plain = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
  const policy = policyOf(`
rules:
  - { name: all, when: 'command.where in ["none", "always"]', action: hold }
  - { name: never, when: 'has(command.where) && command.where == "never"', action: block }
  - { name: fn, when: 'command.functions.exists(f, f.startsWith("q"))', action: block }
  - { name: role, when: command.privileged, action: block }
  - { name: a, action: allow }
`)
  const ruleset = policy.rulesFor(subject())
  const value = fc.constantFrom(
    '0',
    '1',
    '5',
    "''",
    "'%'",
    "'x'",
    'null',
    '$1',
    'true',
    'a',
    'id',
    'f(1)',
    'now()',
  )
  const operator = fc.constantFrom('=', '<>', '<', '>', '<=', '>=', ' like ', ' is not distinct from ')
  const simple = fc
    .tuple(fc.constantFrom('id', 'a', '1', "'x'"), operator, value)
    .map(([left, sign, right]) => `${left}${sign}${right}`)
  const condition = fc.oneof(
    simple,
    fc.tuple(simple, fc.constantFrom(' and ', ' or '), simple).map((parts) => parts.join('')),
    simple.map((one) => `not (${one})`),
    fc.tuple(value, value).map(([low, high]) => `id between ${low} and ${high}`),
    fc.tuple(value, value).map(([one, other]) => `a in (${one}, ${other})`),
  )
  const statement = fc.oneof(
    condition.map((where) => `delete from t where ${where}`),
    condition.map((where) => `update t set a = 1 where ${where}`),
    value.map((argument) => `select set_config('role', ${argument}, false)`),
    condition.map((where) => `select a from t where ${where}`),
  )
  const outcomes = new Map<string, number>()
  try {
    fc.assert(
      fc.property(statement, (sql) => {
        const text = Buffer.from(sql)
        const kept = ruleset.judge(read(sql), live)
        const [analysis] = plain.analyzeNow(text, 0, text.length)
        const own = ruleset.judge({ ...(analysis as Analysis), alike: {} }, live)
        assert.deepEqual([kept.action, kept.rule], [own.action, own.rule], sql)
        outcomes.set(kept.action, (outcomes.get(kept.action) ?? 0) + 1)
      }),
      { numRuns: 4000 },
    )
  } finally {
    await plain.close()
  }
  for (const action of ['allow', 'hold', 'block']) assert.ok((outcomes.get(action) ?? 0) > 200, action)
})

test('sessions whom no rule tells apart share one set of rules', () => {
  const byGroup = policyOf('rules: [{ name: a, match: { groups: [agents] }, action: allow }]')
  const bob = subject({ identity: { subject: 'agent:bob' } })
  assert.equal(byGroup.rulesFor(subject()), byGroup.rulesFor(bob))
  assert.notEqual(byGroup.rulesFor(subject()), byGroup.rulesFor(subject({ identity: { groups: [] } })))
  const bySubject = policyOf(`rules: [{ name: a, when: 'identity.subject == "agent:bob"', action: allow }]`)
  assert.notEqual(bySubject.rulesFor(subject()), bySubject.rulesFor(bob))
  assert.equal(bySubject.rulesFor(bob).judge(read('select 1'), live).action, 'allow')
})

test('labels that decided whether a rule is asked stand on the event, also where it is not', () => {
  const rules = `
rules:
  - { name: prod, match: { labels: { env: prod } }, when: command.privileged, action: block }
  - { name: a, action: allow }
`
  for (const env of ['prod', 'test'])
    assert.deepEqual(judge(rules, 'select 1', subject({ labels: { env } })).attributes, {
      'target.labels': JSON.stringify({ env }),
    })
})

test('observe and alert', () => {
  const rules = `
rules:
  - { name: o, when: command.privileged, action: block, observe: true, alert: error }
  - { name: w, alert: warning, when: command.privileged }
  - { name: a, action: allow }
`
  const { action, rule, observed, alerts } = judge(rules, 'set role x')
  assert.deepEqual([action, rule, observed], ['allow', 'a', { action: 'block', rule: 'o' }])
  assert.deepEqual(alerts, [{ rule: 'w', severity: 'warning' }])
  assert.deepEqual(judge(rules, 'set role x').attributes, { 'policy.alerts': JSON.stringify(alerts) })
  assert.equal(judge(rules, 'select 1').observed, undefined)
})

test('every mistake, with its line', () => {
  assert.deepEqual(
    problemsOf(`rules:
  - name: a
    action: allow
    wen: "true"
  - name: a2
    when: command.verbs == "x"
    action: block
  - name: Bad Name
    when: comand.verb == "x"
    action: allow
  - { name: c, action: cap }
  - { name: m, action: mask, mask: { columns: [] } }
  - { name: n }
  - { name: e, action: hold }
  - { name: e, action: hold, match: { networks: [10.0.0.0/99], time: { from: '9:00', zone: Nowhere } } }
  - use: nothing
  - { name: rows, when: 'command.row_estimate > 5', action: hold }
  - { name: risk, when: 'identity.riks > 5', action: hold }
  - { name: e, action: block }
  - { name: found, action: mask, mask: { detect: [crad], patterns: { Staff: 'x', a: '(x', b: 'x?' } } }
examples:
  - { must: fly, sql: select 1 }
`).map((line) => line.replace(/(is not in the library|detect.0: Invalid option).*/, '$1')),
    [
      'p.yaml:4:5: rules.0.wen: unknown key',
      'p.yaml:6:5: rules.1.when: No such key: verbs (at character 9)',
      'p.yaml:8:5: rules.2.name: must be lower-case letters, digits, ".", "_" or "-", at most 63',
      'p.yaml:9:5: rules.2.when: Unknown variable: comand (at character 1)',
      'p.yaml:11:5: rules.3: action cap and the key cap go together',
      'p.yaml:12:30: rules.4.mask: needs columns, detect, patterns or presidio',
      'p.yaml:13:5: rules.5: needs an action, or alert',
      'p.yaml:15:5: rules.7: there is another rule with the name e',
      'p.yaml:15:50: rules.7.match.networks.0: must be an address or a network',
      'p.yaml:15:64: rules.7.match.time: from and to go together',
      'p.yaml:15:72: rules.7.match.time.from: must be HH:MM',
      'p.yaml:15:86: rules.7.match.time.zone: is no time zone, such as Europe/Berlin',
      'p.yaml:16:5: rules.8.use: is not in the library',
      'p.yaml:17:19: rules.9.when: No such key: row_estimate (at character 9)',
      'p.yaml:18:19: rules.10.when: No such key: riks (at character 10)',
      'p.yaml:19:5: rules.11: there is another rule with the name e',
      'p.yaml:20:51: rules.12.mask.detect.0: Invalid option',
      'p.yaml:20:70: rules.12.mask.patterns.Staff: must be lower-case letters, digits or "-", at most 31',
      'p.yaml:20:82: rules.12.mask.patterns.a: error parsing regexp: missing closing ): `(x`',
      'p.yaml:20:91: rules.12.mask.patterns.b: matches the empty text, and so everywhere',
      'p.yaml:22:7: examples.0.must: Invalid option: expected one of "allow"|"hold"|"block"|"deny"|"mask"',
    ],
  )
})

test('targets that are not there, and masks where nothing can mask', () => {
  const policy = parsePolicy(
    `rules:
  - { name: a, match: { targets: [shpo, 'sh*'] }, action: allow }
  - { name: m, action: mask, mask: { columns: [email] } }
  - { name: o, action: mask, mask: { columns: [email] }, observe: true }
`,
    'p.yaml',
  )
  const all = { key: true, presidio: true }
  const shop = { target: 'shop', protocol: 'postgres', labels: {} }
  const host = { target: 'host', protocol: 'ssh', labels: {} }
  assert.deepEqual(targetProblems(policy, [shop, host], all), {
    errors: ['p.yaml:3:16: rules.1.action: cannot be masked: host'],
    warnings: ['p.yaml:2:35: rules.0.match.targets.0: the file has no target shpo'],
  })
  assert.deepEqual(targetProblems(policy, [shop], all).errors, [])
  const hashed = parsePolicy(
    'rules: [{ name: h, action: mask, mask: { columns: [email], method: hash } }]',
    'p.yaml',
  )
  assert.deepEqual(targetProblems(hashed, [shop], { ...all, key: false }).errors, [
    'p.yaml:1:60: rules.0.mask.method: hash needs the key masking.key of the configuration',
  ])
  assert.deepEqual(targetProblems(hashed, [shop], all).errors, [])
  const names = parsePolicy('rules: [{ name: n, action: mask, mask: { presidio: [PERSON] } }]', 'p.yaml')
  assert.deepEqual(targetProblems(names, [shop], { ...all, presidio: false }).errors, [
    'p.yaml:1:42: rules.0.mask.presidio: needs proxy.presidio of the configuration',
  ])
})

test('versions differ with the rules and only with them', () => {
  const version = (yaml: string) => policyOf(yaml).version
  const one = 'rules: [{ name: a, action: allow }]'
  assert.equal(version(one), version(`# words\n${one}`))
  assert.notEqual(version(one), version(one.replace('allow', 'hold')))
})
