import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSlackVerifier, slackSignature } from './signature.ts'

const secret = '8f742231b10e8888abcd99yyyzzz85a5'
const at = 1_531_420_618
const body = Buffer.from(
  'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
)

test("Slack's own published example is taken, once", () => {
  const verifier = createSlackVerifier({ secret, clock: { nowUs: () => at * 1e6 } })
  const request = {
    timestamp: String(at),
    signature: 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
    body,
  }
  assert.equal(verifier.refuse(request), undefined)
  assert.equal(verifier.refuse(request), 'replayed')
})

test('what is not signed, by another secret, about another body, too old or too new is refused', () => {
  const clock = { us: at * 1e6, nowUs: () => clock.us }
  const verifier = createSlackVerifier({ secret, clock })
  const timestamp = String(at)
  const signature = slackSignature(secret, timestamp, body)
  const refusals = [
    [{ timestamp, signature: undefined, body }, 'unsigned'],
    [{ timestamp: undefined, signature, body }, 'unsigned'],
    [{ timestamp, signature: signature.slice(3), body }, 'malformed'],
    [{ timestamp, signature: signature.toUpperCase(), body }, 'malformed'],
    [{ timestamp: `${at}.0`, signature: slackSignature(secret, `${at}.0`, body), body }, 'malformed'],
    [{ timestamp, signature: slackSignature('another secret', timestamp, body), body }, 'forged'],
    [{ timestamp, signature, body: Buffer.concat([body, Buffer.from(' ')]) }, 'forged'],
    [{ timestamp: String(at + 1), signature, body }, 'forged'],
  ] as const
  for (const [request, forgery] of refusals) assert.equal(verifier.refuse(request), forgery)
  for (const [offSec, forgery] of [
    [-301, 'skewed'],
    [301, 'skewed'],
    [-300, undefined],
    [300, undefined],
  ] as const) {
    const sent = String(at + offSec)
    assert.equal(
      verifier.refuse({ timestamp: sent, signature: slackSignature(secret, sent, body), body }),
      forgery,
      `${offSec}`,
    )
  }
})

test('a replay is remembered for as long as its time would pass, whatever else comes', () => {
  const clock = { us: at * 1e6, nowUs: () => clock.us }
  const verifier = createSlackVerifier({ secret, clock })
  const requestOf = (sec: number) => {
    const timestamp = String(sec)
    return { timestamp, signature: slackSignature(secret, timestamp, body), body }
  }
  const ahead = requestOf(at + 299)
  assert.equal(verifier.refuse(ahead), undefined)
  for (let sec = 1; sec < 599; sec += 7) {
    clock.us = (at + sec) * 1e6
    verifier.refuse(requestOf(at + sec))
    assert.equal(verifier.refuse(ahead), 'replayed', `${sec} s later`)
  }
  clock.us = (at + 600) * 1e6
  assert.equal(verifier.refuse(ahead), 'skewed')
})
