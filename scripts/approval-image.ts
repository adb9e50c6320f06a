/**
 * Writes docs/images/approval.png from one real run: psql at the gate, a rule that holds what it asks for, a real Chromium
 * where a person signs in and answers. Run it again after a change of the page:
 * node scripts/bootstrap.mjs scripts/approval-image.ts
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startChromium } from '@portcullis/testkit/chromium'
import { startPeopleSystem } from '@portcullis/testkit/people-system'
import { findPsql } from '@portcullis/testkit/postgres'
import { root } from './files.ts'

const statement = `delete from orders
 where created_at < now() - interval '2 years'
    or id > 0`
const policy = `rules:
  - { name: rest, action: allow }
  - use: where-missing
    approval: { by: [{ groups: [dba] }] }
`
const bed = await startPeopleSystem({ policy })
const chromium = await startChromium()
const { system, postgres } = bed.value
try {
  await postgres.query(
    'create table orders (id int primary key, created_at timestamptz not null default now()); insert into orders select generate_series(1, 1200)',
  )
  const token = await system.issuer.sign({ sub: 'nightly-cleanup', groups: ['agents'] }, { ttlSec: 600 })
  const at = `host=127.0.0.1 port=${system.port()} user=shop sslmode=disable`
  const psql = spawn(findPsql() ?? 'psql', [at, '-X', '-c', statement], {
    env: { ...process.env, PGPASSWORD: token },
    stdio: 'inherit',
  })
  const id = await waitingOne()
  const page = await chromium.value.newPage({ width: 760, height: 1200 })
  await page.goto(`${system.apiUrl}/approvals/${id}`)
  await page.click('a[href^="/sign-in/corp"]')
  await page.type('input[name=login]', 'dan')
  await page.click('button')
  await page.screenshot(join(root, 'docs/images/approval.png'))
  await page.click('button[value=deny]')
  await new Promise((resolve) => psql.once('close', resolve))
  console.log('docs/images/approval.png is written')
} finally {
  await chromium.stop()
  await bed.stop()
}

async function waitingOne(): Promise<string> {
  for (;;) {
    const response = await fetch(`${system.apiUrl}/v1/approvals`, {
      headers: { authorization: `Bearer ${system.apiToken}` },
    })
    const { items } = (await response.json()) as { items: { approvalId: string }[] }
    if (items[0]) return items[0].approvalId
    await delay(50)
  }
}
