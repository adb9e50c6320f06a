/** Every door of house.md, proven by a planted import that it must refuse and one beside it that it must let pass. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { checkDoors, importsOf } from './doors.ts'

type Plant = { file: string; line: string; refused: RegExp | false }

const plants: Plant[] = [
  { file: 'packages/kernel/src/a.ts', line: "import { z } from 'zod'", refused: /kernel imports nothing/ },
  {
    file: 'packages/kernel/src/a.ts',
    line: "import { sql } from '@portcullis/sql'",
    refused: /imports nothing/,
  },
  { file: 'packages/kernel/src/a.ts', line: "import type { Socket } from 'node:net'", refused: false },
  { file: 'packages/kernel/src/a.ts', line: "export * from './b.ts'", refused: false },
  { file: 'packages/sql/src/a.ts', line: "import '@portcullis/platform/codec'", refused: /no other package/ },
  {
    file: 'packages/policy/src/a.ts',
    line: "import type { X } from '@portcullis/sql'",
    refused: /no other package/,
  },
  { file: 'packages/identity/src/a.ts', line: "import type { X } from '@portcullis/kernel'", refused: false },
  { file: 'packages/identity/src/a.ts', line: "import { x } from '@portcullis/expressions'", refused: false },
  {
    file: 'packages/config/src/a.ts',
    line: "import { x } from '@portcullis/identity'",
    refused: /no other package/,
  },
  {
    file: 'packages/expressions/src/a.ts',
    line: "import { x } from '@portcullis/identity'",
    refused: /no other package/,
  },
  { file: 'packages/sql/src/a.ts', line: "import '@portcullis/expressions'", refused: /no other package/ },
  {
    file: 'packages/platform/src/a.ts',
    line: "import { x } from '@portcullis/sql'",
    refused: /no other package/,
  },
  { file: 'packages/platform/src/a.ts', line: "import { Kafka } from 'kafkajs'", refused: false },
  {
    file: 'packages/identity/src/a.ts',
    line: "import { Kafka } from 'kafkajs'",
    refused: /only packages\/platform/,
  },
  { file: 'services/analyzer/src/a.ts', line: "import avsc from 'avsc'", refused: /only packages\/platform/ },
  {
    file: 'services/query-api/src/a.ts',
    line: "const c = await import('@clickhouse/client')",
    refused: /only packages/,
  },
  {
    file: 'load-tests/a.ts',
    line: "import { open } from 'lmdb/index.js'",
    refused: /only packages\/platform/,
  },
  {
    file: 'services/proxy/src/protocols/ssh/a.ts',
    line: "import '@portcullis/platform/service'",
    refused: /a protocol is/,
  },
  {
    file: 'services/proxy/src/protocols/ssh/a.ts',
    line: "import { d } from '../postgres/deny.ts'",
    refused: /a protocol is/,
  },
  {
    file: 'services/proxy/src/protocols/ssh/a.ts',
    line: "import { d } from '../../door.ts'",
    refused: false,
  },
  {
    file: 'services/proxy/src/protocols/ssh/in/a.ts',
    line: "import { d } from '../deny.ts'",
    refused: false,
  },
  { file: 'services/proxy/src/protocols/ssh/a.ts', line: "import ssh2 from 'ssh2'", refused: false },
  {
    file: 'services/analyzer/src/detectors/a.ts',
    line: "import '@portcullis/platform/audit'",
    refused: /a detector/,
  },
  { file: 'services/analyzer/src/detectors/a.ts', line: "import { x } from '../stats.ts'", refused: false },
  { file: 'services/analyzer/src/detectors/a.ts', line: "import '@portcullis/kernel'", refused: false },
  { file: 'services/alerts/src/sinks/a.ts', line: "import '@portcullis/config'", refused: /a sink/ },
  { file: 'services/proxy/src/a.ts', line: "import '@portcullis/analyzer'", refused: /never each other/ },
  {
    file: 'services/proxy/src/a.ts',
    line: "import '@portcullis/testkit/postgres'",
    refused: /never each other/,
  },
  {
    file: 'services/proxy/src/a.ts',
    line: "import { x } from '../../analyzer/src/b.ts'",
    refused: /leaves services\/proxy/,
  },
  { file: 'services/proxy/src/a.test.ts', line: "import '@portcullis/testkit/postgres'", refused: false },
  { file: 'services/proxy/src/a.test.ts', line: "import '@portcullis/analyzer'", refused: /no service/ },
  { file: 'services/proxy/src/a.ts', line: "import '@portcullis/platform/service'", refused: false },
  {
    file: 'packages/sql/src/a.ts',
    line: "import { x } from '../../kernel/src/command.ts'",
    refused: /leaves packages\/sql/,
  },
  {
    file: 'packages/sql/src/a.test.ts',
    line: "import { x } from '../../kernel/src/command.ts'",
    refused: /leaves packages\/sql/,
  },
  { file: 'services/all-in-one/src/a.ts', line: "import '@portcullis/analyzer'", refused: false },
]

for (const { file, line, refused } of plants) {
  test(`${refused ? 'refused' : 'allowed'} in ${file}: ${line}`, () => {
    const root = mkdtempSync(join(tmpdir(), 'portcullis-doors-'))
    try {
      mkdirSync(join(root, dirname(file)), { recursive: true })
      writeFileSync(join(root, file), `/** Planted. */\n${line}\n`)
      const violations = checkDoors(root, [file])
      if (!refused) return assert.deepEqual(violations, [])
      assert.equal(violations.length, 1)
      assert.match(violations[0] ?? '', refused)
      assert.ok(violations[0]?.startsWith(`${file}:2 imports `))
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })
}

test('what a sink imports from its service is held to the same door, however far behind', () => {
  const root = mkdtempSync(join(tmpdir(), 'portcullis-doors-'))
  const files = {
    'services/alerts/src/sinks/a.ts': "import { wording } from '../wording.ts'",
    'services/alerts/src/wording.ts': "import { bus } from './bus.ts'",
    'services/alerts/src/bus.ts': "import { connectBus } from '@portcullis/platform/connect'",
  }
  try {
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(join(root, dirname(file)), { recursive: true })
      writeFileSync(join(root, file), text)
    }
    assert.match(
      checkDoors(root, Object.keys(files)).join('\n'),
      /^services\/alerts\/src\/sinks\/a.ts reaches services\/alerts\/src\/bus.ts:1 imports @portcullis\/platform\/connect: a detector or a sink[^\n]*$/,
    )
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
})

test('every form of import is seen', () => {
  const source = `
    import a from 'one'
    import type { B } from "two"
    import 'three'
    import {
      c,
    } from 'four'
    export { d } from 'five'
    const e = await import('six')
    const f: import('seven').F = 1
    const g = require('eight')
    const h = import.meta.resolve('nine')
  `
  assert.deepEqual(
    importsOf(source).map(({ specifier }) => specifier),
    ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'],
  )
})
