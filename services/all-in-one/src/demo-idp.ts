/**
 * Starts the demo's identity provider as a child process and asks it for tokens, through its real token endpoint. The
 * client secret is made at each start and known to these two processes alone, so that no other local process can mint a
 * token. Refuses to be anything but the demo's: it listens on loopback and authenticates no person.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { Started } from '@portcullis/kernel'
import type { DemoIdpNews, DemoIdpOrder } from './demo-idp-main.ts'
import { type DemoClaims, demoAudience, demoClientId } from './demo-idp-provider.ts'

export interface DemoIdp {
  readonly issuer: string
  readonly audience: string
  /** A signed token for `subject`. Rejects with an Error that says what the token endpoint answered. */
  mint(subject: string, claims?: Omit<DemoClaims, 'subject'>): Promise<string>
  /** Its process id. */
  readonly pid: number
}

export interface DemoIdpOptions {
  /** Where its key and port are kept. */
  readonly dir: string
  /** For the first start; later ones keep what was found. Another is taken where it is not free. */
  readonly port?: number
  readonly log: { warn(fields: object, message: string): void }
}

/** Rejects with an Error that says what to do where it cannot start. */
export async function startDemoIdp({ dir, port = 18_790, log }: DemoIdpOptions): Promise<Started<DemoIdp>> {
  const clientSecret = randomBytes(32).toString('base64url')
  const child = fork(fileURLToPath(new URL('./demo-idp-main.ts', import.meta.url)), {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  const stderr = lastLines(child)
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (status, signal) => resolve(`ended with ${signal ?? `status ${status}`}`))
  })
  let stopping = false
  const stop = async () => {
    stopping = true
    tell(child, { type: 'stop' })
    const timer = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
    await ended
    clearTimeout(timer)
  }
  child.on('message', (news: DemoIdpNews) => {
    if (news.type === 'trouble') log.warn({ why: news.why }, 'demo identity provider')
  })
  const issuer = await started(child, ended, { type: 'start', dir, port, clientSecret }, stderr).catch(
    async (error: unknown) => {
      await stop()
      throw error
    },
  )
  void ended.then((why) => {
    if (!stopping) log.warn({ why, stderr: stderr() }, 'the demo identity provider ended: no new demo tokens')
  })
  return {
    value: {
      issuer,
      audience: demoAudience,
      mint: (subject, claims = {}) => mint(issuer, clientSecret, { ...claims, subject }),
      pid: child.pid ?? 0,
    },
    stop,
  }
}

const startMsMax = 20_000
const stopMsMax = 5000

function tell(child: ChildProcess, order: DemoIdpOrder): void {
  if (child.connected) child.send(order)
}

async function started(
  child: ChildProcess,
  ended: Promise<string>,
  order: DemoIdpOrder,
  stderr: () => string,
): Promise<string> {
  let timer: NodeJS.Timeout | undefined
  try {
    return await Promise.race([
      new Promise<string>((resolve, reject) => {
        child.on('message', (news: DemoIdpNews) => {
          if (news.type === 'started') resolve(news.issuer)
          if (news.type === 'failed') reject(new Error(news.why))
        })
        tell(child, order)
      }),
      ended.then((why) => {
        throw new Error(`the demo identity provider ${why} before it had started: ${stderr()}`)
      }),
      new Promise<never>((_, reject) => {
        timer = setTimeout(
          () =>
            reject(
              new Error(`the demo identity provider did not start within ${startMsMax} ms: ${stderr()}`),
            ),
          startMsMax,
        )
      }),
    ])
  } finally {
    clearTimeout(timer)
  }
}

async function mint(issuer: string, clientSecret: string, claims: DemoClaims): Promise<string> {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(`${demoClientId}:${clientSecret}`).toString('base64')}`,
      connection: 'close',
    },
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      portcullis_claims: JSON.stringify(claims),
    }),
    signal: AbortSignal.timeout(5000),
  })
  const body: unknown = await response.json()
  const answer = typeof body === 'object' && body !== null ? body : {}
  if (response.status === 200 && 'access_token' in answer && typeof answer.access_token === 'string')
    return answer.access_token
  const why = 'error_description' in answer ? answer.error_description : `status ${response.status}`
  throw new Error(`the demo identity provider gave no token for ${JSON.stringify(claims.subject)}: ${why}`)
}

/** The end of what the child wrote to stderr, for the error that says why it did not start. */
function lastLines(child: ChildProcess): () => string {
  let kept = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    kept = (kept + text).slice(-4000)
  })
  return () => kept.trim()
}
