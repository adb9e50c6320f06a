/**
 * A gate's API as far as a command line sees it, for tests of what a real one does not do on demand: device sign-in by the
 * letter of RFC 8628 (section 3.4, 3.5), answers that a test chooses, and nothing else.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Started } from '@portcullis/kernel'

export interface GateServer {
  readonly url: string
  /** What was asked for, in order: `METHOD PATH`. */
  readonly asked: string[]
  /** Codes that people would see. */
  readonly userCodes: string[]
  /** The person answers. */
  answer(userCode: string, answer: 'yes' | 'no'): void
  /** Polls that came sooner than they may. */
  tooSoon(): number
  /** The next so many requests find nobody. */
  hangUp(times: number): void
  /** In place of what it would answer. */
  reply: Map<string, Reply>
  /** Bodies that were sent, in the order of `asked`. */
  readonly sent: string[]
  /** The device's answer to `POST /v1/device-authorization`, changed. */
  device: Record<string, unknown>
}

export interface Reply {
  readonly status: number
  readonly body: string
  /** JSON where absent. */
  readonly type?: string
}

export interface GateServerOptions {
  readonly intervalSec?: number
  readonly expiresInSec?: number
  /** Milliseconds since 1970. */
  readonly nowMs?: () => number
}

interface Flow {
  readonly userCode: string
  readonly endMs: number
  answer: 'yes' | 'no' | undefined
  intervalSec: number
  polledMs: number
}

const grantType = 'urn:ietf:params:oauth:grant-type:device_code'

export async function startGateServer(options: GateServerOptions = {}): Promise<Started<GateServer>> {
  const { intervalSec = 1, expiresInSec = 60, nowMs = Date.now } = options
  const flows = new Map<string, Flow>()
  let [tooSoon, hangUps] = [0, 0]

  function authorize(form: URLSearchParams) {
    if (!form.get('client_id')) return oauthError('invalid_request')
    const deviceCode = randomBytes(32).toString('base64url')
    const letters = Array.from(randomBytes(8), (byte) => 'BCDFGHJKLMNPQRSTVWXZ'[byte % 20]).join('')
    const userCode = `${letters.slice(0, 4)}-${letters.slice(4)}`
    flows.set(deviceCode, {
      userCode,
      endMs: nowMs() + expiresInSec * 1000,
      answer: undefined,
      intervalSec,
      polledMs: Number.NEGATIVE_INFINITY,
    })
    value.userCodes.push(userCode)
    const body = {
      ...{ device_code: deviceCode, user_code: userCode, expires_in: expiresInSec, interval: intervalSec },
      verification_uri: `${value.url}/device`,
      verification_uri_complete: `${value.url}/device?user_code=${userCode}`,
    }
    return { status: 200, body: JSON.stringify({ ...body, ...value.device }) }
  }

  function token(form: URLSearchParams) {
    if (form.get('grant_type') !== grantType) return oauthError('unsupported_grant_type')
    const flow = flows.get(form.get('device_code') ?? '')
    if (!flow || !form.get('client_id')) return oauthError('invalid_grant')
    if (nowMs() >= flow.endMs) return oauthError('expired_token')
    const isSoon = nowMs() - flow.polledMs < flow.intervalSec * 1000 - 20
    flow.polledMs = nowMs()
    if (isSoon) {
      tooSoon += 1
      flow.intervalSec += 5
      return oauthError('slow_down')
    }
    if (flow.answer === undefined) return oauthError('authorization_pending')
    flows.delete(form.get('device_code') ?? '')
    if (flow.answer === 'no') return oauthError('access_denied')
    return {
      status: 200,
      body: JSON.stringify({ access_token: 'the-token-of-ann', token_type: 'Bearer', expires_in: 600 }),
    }
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (hangUps > 0) {
      hangUps -= 1
      return void request.socket.destroy()
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const what = `${request.method} ${request.url}`
    value.asked.push(what)
    const text = Buffer.concat(chunks).toString()
    value.sent.push(text)
    const answer: Reply = value.reply.get(what) ?? answerTo(what, request, text)
    const { status, body, type = 'application/json' } = answer
    response.writeHead(status, { 'content-type': type }).end(body)
  }

  function answerTo(what: string, { headers }: IncomingMessage, text: string) {
    const isForm = headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true
    if (what === 'POST /v1/device-authorization' && isForm) return authorize(new URLSearchParams(text))
    if (what === 'POST /v1/token' && isForm) return token(new URLSearchParams(text))
    if (headers.authorization !== 'Bearer the-token-of-ann') return problem(401, 'unauthenticated')
    if (what === 'GET /v1/whoami') {
      const who = { issuer: 'https://idp.example', subject: 'ann', groups: ['agents'], role: '', task: '' }
      return { status: 200, body: JSON.stringify({ ...who, delegation: [], expiresAt: null }) }
    }
    return problem(404, 'not_found')
  }

  const server = createServer((request, response) => void serve(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const value: GateServer = {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    asked: [],
    sent: [],
    userCodes: [],
    answer(userCode, answer) {
      for (const flow of flows.values()) if (flow.userCode === userCode) flow.answer = answer
    },
    tooSoon: () => tooSoon,
    hangUp(times) {
      hangUps = times
    },
    reply: new Map(),
    device: {},
  }
  return {
    value,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function oauthError(error: string) {
  return { status: 400, body: JSON.stringify({ error }) }
}

function problem(status: number, code: string) {
  const body = {
    type: `urn:portcullis:problem:${code}`,
    title: code,
    status,
    detail: `${code}.`,
    requestId: 'r-1',
  }
  return { status, body: JSON.stringify(body) }
}
