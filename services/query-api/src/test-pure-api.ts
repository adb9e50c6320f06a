/** For tests: the API with no store and no bus behind it. Whatever would read them fails, as a mistake of ours would. */
import { parseConfig } from '@portcullis/config'
import { initialControl, systemClock } from '@portcullis/kernel'
import type { ControlLog } from '@portcullis/platform/control'
import { createCodecs } from '@portcullis/platform/codec'
import { createLog, createMetrics } from '@portcullis/platform/service'
import type { FastifyInstance } from 'fastify'
import { type AppParts, createApp } from './app.ts'
import { type AuthOptions, createAuthenticator } from './auth.ts'
import { createBooks } from './live/books.ts'
import { createFeed } from './live/feed.ts'
import { testOwnTokens, testProver } from './test-own-tokens.ts'
import { createTrail } from './trail.ts'

export const tokens = {
  viewer: 'viewer-token-0123456789',
  responder: 'responder-token-0123456789',
  admin: 'admin-token-0123456789',
}

export function startPureApi(more: Partial<AppParts> = {}): Promise<FastifyInstance> {
  const clock = systemClock
  const unreachable = () => Promise.reject(new TypeError('a mistake of ours'))
  const state = initialControl()
  const control: ControlLog = {
    state: () => state,
    caughtUp: () => true,
    whenCaughtUp: Promise.resolve(),
    healthy: () => true,
    write: unreachable,
  }
  return createApp({
    auth: testAuth(),
    trail: createTrail({ store: { query: unreachable }, nowUs: clock.nowUs }),
    control,
    books: createBooks({ codecs: createCodecs(), nowUs: clock.nowUs, onUnreadable: () => {} }),
    own: testOwnTokens(control, testProver()),
    reachable: () => [],
    settings: { file: emptyFile, book: { targets: () => [] }, sealer: undefined },
    ssh: undefined,
    feed: createFeed(),
    clock,
    log: createLog({ service: 'test', level: 'silent' }),
    metrics: createMetrics('test'),
    problems: () => ['the bus cannot be read'],
    ...more,
  })
}

const emptyFile = parseConfig(
  'bus: lmdb:./bus\naudit: embedded:./audit\nidentity: { issuers: [] }\ntargets: []\nproxy: { recorder: { onUnavailable: deny } }\n',
  'test.yaml',
)

export function testAuth(roles: AuthOptions['roles'] = {}) {
  return createAuthenticator({
    tokens: [
      { name: 'watch', role: 'viewer', token: tokens.viewer },
      { name: 'ops', role: 'responder', token: tokens.responder },
      { name: 'root', role: 'admin', token: tokens.admin },
    ],
    roles,
    prove: () => Promise.reject(new Error('no issuer here')),
    clock: systemClock,
    onRefused: () => {},
    failuresPerMinute: 1_000,
  })
}
