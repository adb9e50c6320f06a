/**
 * Whether a request comes from Slack, and for the first time (https://docs.slack.dev/authentication/verifying-requests-from-slack):
 * an HMAC over the time and the raw body, not older than five minutes, compared in constant time. What was taken is not taken
 * again. It refuses before anything is parsed, and never says to the sender which check it was.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Clock } from '@portcullis/kernel'

export interface SignedRequest {
  /** Header X-Slack-Request-Timestamp: seconds since 1970 UTC. */
  readonly timestamp: string | undefined
  /** Header X-Slack-Signature. */
  readonly signature: string | undefined
  /** As it came, before any decoding. */
  readonly body: Buffer
}

export type Forgery = 'unsigned' | 'malformed' | 'skewed' | 'forged' | 'replayed'

export interface SlackVerifier {
  /** Undefined where it is Slack's and new; it is then spent. */
  refuse(request: SignedRequest): Forgery | undefined
}

export interface SlackVerifierOptions {
  readonly secret: string
  readonly clock: Pick<Clock, 'nowUs'>
}

export function createSlackVerifier({ secret, clock }: SlackVerifierOptions): SlackVerifier {
  /** By signature, until when it could pass, seconds: oldest first or nearly so. */
  const taken = new Map<string, number>()

  function forget(nowSec: number): void {
    for (const [signature, untilSec] of taken) if (untilSec < nowSec) taken.delete(signature)
  }

  return {
    refuse({ timestamp, signature, body }) {
      if (timestamp === undefined || signature === undefined) return 'unsigned'
      if (!/^[1-9]\d{8,11}$/.test(timestamp) || !/^v0=[0-9a-f]{64}$/.test(signature)) return 'malformed'
      const nowSec = clock.nowUs() / 1e6
      if (Math.abs(nowSec - Number(timestamp)) > skewSecMax) return 'skewed'
      if (!timingSafeEqual(Buffer.from(signature), Buffer.from(slackSignature(secret, timestamp, body))))
        return 'forged'
      forget(nowSec)
      if (taken.has(signature)) return 'replayed'
      taken.set(signature, Number(timestamp) + skewSecMax)
      return undefined
    },
  }
}

/** What Slack puts into X-Slack-Signature. */
export function slackSignature(secret: string, timestamp: string, body: Buffer): string {
  return `v0=${createHmac('sha256', secret).update(`v0:${timestamp}:`).update(body).digest('hex')}`
}

const skewSecMax = 300
