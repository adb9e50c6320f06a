/**
 * Writes docs/sign-in-transcript.md and docs/images/sign-in-*.png from one real run: a real Chromium at a real OpenID provider
 * and a real SAML one, the command line by the device flow, psql through the gate. Nothing in it is made up; run it again
 * after a change of what people see: node scripts/bootstrap.mjs scripts/sign-in-doc.ts
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type ChromiumPage, startChromium } from '@portcullis/testkit/chromium'
import { startPeopleSystem } from '@portcullis/testkit/people-system'
import { findPsql } from '@portcullis/testkit/postgres'
import { root } from './files.ts'

const images = join(root, 'docs/images')
mkdirSync(images, { recursive: true })
const home = mkdtempSync(join(tmpdir(), 'portcullis-home-'))
const bed = await startPeopleSystem()
const chromium = await startChromium()
const { system } = bed.value
const api = system.apiUrl
const phone = { width: 390, height: 740 }
const desk = { width: 640, height: 520 }

try {
  writeFileSync(join(root, 'docs/sign-in-transcript.md'), await tellTheStory())
  console.log('docs/sign-in-transcript.md is written')
} finally {
  await chromium.stop()
  await bed.stop()
  rmSync(home, { recursive: true, force: true })
}

async function tellTheStory(): Promise<string> {
  const person = await chromium.value.newPage(desk)
  await person.goto(`${api}/sign-in`)
  const choice = await shot(person, 'choice')
  await person.click('a[href^="/sign-in/corp"]')
  const provider = told(await person.text())
  await person.type('input[name=login]', 'ann')
  await person.click('button')
  const signedIn = await shot(person, 'signed-in')

  const bySaml = await chromium.value.newPage({ ...desk, dark: true })
  await bySaml.goto(`${api}/sign-in`)
  await bySaml.click('a[href^="/sign-in/old"]')
  await bySaml.type('input[name=login]', 'ben@old.example')
  await bySaml.click('button')
  await bySaml.waitForText(/You are signed in/)
  const saml = await shot(bySaml, 'saml-dark')

  const login = start(process.execPath, ['services/cli/src/main.ts', 'login'])
  const code = await said(login.state, /\b([B-Z]{4}-[B-Z]{4})\b/)
  const mobile = await chromium.value.newPage({ ...phone, scripts: false })
  await mobile.goto(`${api}/device?user_code=${code}`)
  await mobile.click('a[href^="/sign-in/corp"]')
  await mobile.type('input[name=login]', 'ann')
  await mobile.click('button')
  const typed = await shot(mobile, 'device-code')
  await mobile.click('button.go')
  const confirm = await shot(mobile, 'device-confirm')
  await mobile.click('button[value=yes]')
  const done = told(await mobile.text())
  const loggedIn = await login.done
  const whoami = await start(process.execPath, ['services/cli/src/main.ts', 'whoami']).done
  const token = (await start(process.execPath, ['services/cli/src/main.ts', 'token']).done).trim()
  const sql = 'select current_database(), 6 * 7 as answer'
  const at = `host=127.0.0.1 port=${system.port()} user=shop sslmode=disable`
  const psql = await start(findPsql() ?? 'psql', [at, '-X', '-c', sql], { PGPASSWORD: token }).done

  await bed.value.stopProvider('oidc')
  await system.stopPart('query-api')
  await system.startPart('query-api')
  const late = await chromium.value.newPage({ ...phone, dark: true })
  await late.goto(`${api}/sign-in/corp`)
  const away = await shot(late, 'provider-away')
  await person.goto(`${api}/sign-in`)
  const still = told(await person.text())
  const trail = await signIns()

  return `# People sign in: one run, from the browser to the query

<!-- Written by scripts/sign-in-doc.ts from a real run. Do not edit: run it again. -->

A real Chromium, a real OpenID provider (oidc-provider), a real SAML one (samlp), the gate's own processes and a real
PostgreSQL. Times and numbers are those of the run. How it is set up: [people](people.md); why it is so:
[ADR 13](adr/0013-people.md).

## By OpenID Connect
\`GET /sign-in\` offers what is configured:

${choice}

The person goes to the provider, says who they are there,

${provider}

and is back, known by what the provider proved:

${signedIn}

## By SAML
The same, for who has their account in a directory that speaks SAML; here by who likes it dark:

${saml}

## On the command line, by the device flow
\`portcullis login\` shows a code and waits:

${block(loggedIn.replaceAll(root, '.'))}

The person opens the address on a telephone, here with scripts switched off. They sign in, and type the code or find it
there:

${typed}

They see what asks, from where and when, before they say yes:

${confirm}

${done}

The command line has a short-lived token as the person:

${block(`$ portcullis whoami\n${whoami}`)}

and the same token is the password at the Postgres door:

${block(`$ psql "${at.replace(/port=\d+/, 'port=15432')}" -c "${sql}"\n${psql}`)}

## The provider is gone
Who wants to sign in reads so, with a number that finds it in the trail:

${away}

Who is signed in goes on:

${still}

## What the trail has
\`GET /v1/sign-ins\`, the latest first:

${block(trail)}
`
}

async function shot(page: ChromiumPage, name: string): Promise<string> {
  await page.screenshot(join(images, `sign-in-${name}.png`))
  const title = (await page.text()).split('\n').filter(Boolean)[1] ?? name
  return `![${title}](images/sign-in-${name}.png)`
}

function told(text: string): string {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => `> ${line.trim()}  `)
    .join('\n')
}

function block(text: string): string {
  return `\`\`\`\n${text.trim()}\n\`\`\``
}

function start(program: string, args: string[], env: Record<string, string> = {}) {
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, PORTCULLIS_CONFIG_DIR: home, PORTCULLIS_URL: api, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const state = { out: '' }
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data) => {
      state.out += data
    })
  return {
    state,
    done: new Promise<string>((resolve) =>
      child.once('close', () => resolve(state.out.replaceAll(home, '~/.config/portcullis'))),
    ),
  }
}

async function said(state: { readonly out: string }, pattern: RegExp): Promise<string> {
  for (let tries = 0; tries < 600; tries += 1) {
    const [, found] = pattern.exec(state.out) ?? []
    if (found !== undefined) return found
    await delay(50)
  }
  throw new Error(`${pattern} was not said: ${state.out}`)
}

async function signIns(): Promise<string> {
  const headers = { authorization: `Bearer ${system.apiToken}` }
  for (let tries = 0; tries < 100; tries += 1) {
    const answer = await fetch(`${api}/v1/sign-ins`, { headers })
    const { items = [] } = (await answer.json()) as { items?: Record<string, string>[] }
    if (items.some(({ kind }) => kind === 'refused'))
      return items
        .map(({ at, kind, provider, subject, client, reason }) =>
          [at?.slice(11, 23), kind?.padEnd(15), provider?.padEnd(5), subject?.padEnd(16), client, reason]
            .join('  ')
            .trimEnd(),
        )
        .join('\n')
    await delay(100)
  }
  throw new Error('the trail does not have the sign-ins')
}
