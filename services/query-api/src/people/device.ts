/**
 * The device flow (RFC 8628): a command line shows a code, a person types it here, sees what asks, and says yes or no.
 *
 *   device                          API                                   person
 *     | -- device-authorization ---->| device_asked                         |
 *     |<-- device_code, user_code ---|                                      |
 *     | -- token (polls) ----------->| authorization_pending                |
 *     |                              |<-- user_code, by a signed-in browser |
 *     |                              |--- what asks, from where, when ----->|
 *     |                              |<-- yes ------------------------------| device_approved
 *     | -- token ------------------->| device_redeemed, once                |
 *     |<-- a token as the person ----|                                      |
 *
 * What happened lies in the sign-ins topic, so any replica goes on where another began. It refuses a second use of either
 * code, whoever guesses codes, and a token that would outlive the sign-in of who said yes.
 */
import { createHash, randomBytes, randomInt, randomUUID } from 'node:crypto'
import { mintToken, type ScopedProof, tradedGrant } from '@portcullis/identity'
import { type Clock, type Identity, identityKey } from '@portcullis/kernel'
import type { Log } from '@portcullis/platform/service'
import { z } from 'zod'
import { createFailureBudget } from '../failure-budget.ts'
import { OauthError } from '../tokens/oauth-error.ts'
import type { SigningKeys } from '../tokens/signing-keys.ts'
import { readScope, refuseRepeated } from '../tokens/trade-form.ts'
import { type Issued, issuedOf, oauthErrorOf, told } from '../tokens/trader.ts'
import type { PeopleKeys } from './keys.ts'
import type { SignInFact, SignInLog } from './log.ts'
import type { Session } from './session.ts'
import { type Device, wrongCodesOf } from './state.ts'

export const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code'

/** Which request it is, for the trail. */
export interface Asking {
  readonly address: string
  readonly requestId: string
}

export interface AskedDevice {
  readonly device_code: string
  readonly user_code: string
  readonly verification_uri: string
  readonly verification_uri_complete: string
  readonly expires_in: number
  readonly interval: number
}

export interface DeviceFlow {
  /** @throws OauthError */
  ask(form: URLSearchParams, asking: Asking): Promise<AskedDevice>
  /** The device that shows this code; undefined for none, which counts against the person. */
  find(code: string, session: Session, asking: Asking): Promise<Device | undefined>
  /** Whether this person has to wait before the next code. */
  mustWait(session: Session): boolean
  /** False where it was answered before, or is over. */
  answer(device: Device, isApproved: boolean, session: Session, asking: Asking): Promise<boolean>
  /** @throws OauthError */
  redeem(form: URLSearchParams, asking: Asking): Promise<Issued>
}

export interface DeviceFlowOptions {
  readonly signIns: SignInLog
  readonly keys: Pick<PeopleKeys, 'approvals' | 'hashUserCode'>
  readonly signingKeys: Pick<SigningKeys, 'current'>
  readonly verdictOn: (identity: Identity) => { readonly verdictId: string } | undefined
  readonly publicUrl: string
  readonly own: { readonly issuer: string; readonly audience: string }
  readonly limits: { readonly tokenSecMax: number; readonly ancestorsMax: number }
  readonly clock: Clock
  readonly log: Pick<Log, 'info' | 'warn'>
}

const lifeSec = 600
const intervalSec = 5
const devicesMax = 10_000
const asksPerMinute = 20
/** Refusals of one address that the topic keeps: anyone may cause them, and every sign-in waits for that topic. */
const recordsPerMinute = 30
/** Within ten minutes, over all replicas. */
const wrongCodesMax = 5
/** No vowels, so that no word comes out (RFC 8628 section 6.1). */
const letters = 'BCDFGHJKLMNPQRSTVWXZ'

const approval = z.tuple([
  z.string(), // issuer
  z.string(), // subject
  z.array(z.string()),
  z.string(), // sign-in
  z.string(), // provider
  z.int(), // when the sign-in ends
])

export function createDeviceFlow(options: DeviceFlowOptions): DeviceFlow {
  const { signIns, keys, clock, log, publicUrl, limits } = options
  const asks = createFailureBudget(asksPerMinute, clock)
  const records = createFailureBudget(recordsPerMinute, clock)
  const polledMs = new Map<string, number>()

  function clientOf(form: URLSearchParams): string {
    const client = form.get('client_id') ?? ''
    if (/^[\x21-\x7e](?:[\x20-\x7e]{0,62}[\x21-\x7e])?$/.test(client)) return client
    throw new OauthError('invalid_request', 'client_id must be a name of at most 64 printable characters')
  }

  function scopeOf(form: URLSearchParams): string {
    const text = form.get('scope') ?? ''
    if (text.length > 1000) throw new OauthError('invalid_scope', 'scope is longer than 1000 characters')
    // Which targets there are is not for a stranger to try out; one that there is not opens nothing.
    readScope(text)
    return text
  }

  async function ask(form: URLSearchParams, asking: Asking): Promise<AskedDevice> {
    refuseRepeated(form)
    const [client, scope] = [clientOf(form), scopeOf(form)]
    const mayNot = asks.waitMs(asking.address) > 0 || signIns.state().devices.size >= devicesMax
    if (mayNot) throw new OauthError('temporarily_unavailable', 'too many devices ask: try again in a minute')
    asks.spend(asking.address)
    const deviceCode = randomBytes(32).toString('base64url')
    const until = clock.nowUs() + lifeSec * 1e6
    // Of two devices with one code the second gets another.
    for (let tries = 0; tries < 3; tries++) {
      const code = makeUserCode()
      const fact = { client, scope, ref: refOf(deviceCode), userCode: keys.hashUserCode(code), until }
      if (!(await signIns.append({ kind: 'device_asked', ...fact, ...asking }))) continue
      const shown = shownCode(code)
      return {
        device_code: deviceCode,
        user_code: shown,
        verification_uri: `${publicUrl}/device`,
        verification_uri_complete: `${publicUrl}/device?user_code=${shown}`,
        expires_in: lifeSec,
        interval: intervalSec,
      }
    }
    throw new OauthError('temporarily_unavailable', 'no code is free: try again')
  }

  async function redeem(form: URLSearchParams, asking: Asking): Promise<Issued> {
    refuseRepeated(form)
    const client = clientOf(form)
    const device = signIns.state().devices.get(refOf(form.get('device_code') ?? ''))
    if (!device || device.client !== client)
      throw new OauthError('invalid_grant', 'this device_code was not given to this client, or is long over')
    const nowUs = clock.nowUs()
    if (nowUs >= device.until) throw new OauthError('expired_token', 'the code is over: begin again')
    if (device.status === 'denied') throw new OauthError('access_denied', 'the person said no')
    if (device.status === 'redeemed') throw new OauthError('invalid_grant', 'the device_code was used')
    if (pollsTooOften(device.ref)) throw new OauthError('slow_down', `ask every ${intervalSec} s at most`)
    if (device.status === 'pending') throw new OauthError('authorization_pending', 'nobody has said yes yet')
    const subject = approvedBy(device)
    const verdict = options.verdictOn(subject.identity)
    if (verdict)
      throw new OauthError('access_denied', 'who said yes may not be acted for now', {
        cause: new Error(`verdict ${verdict.verdictId}`),
      })
    const grant = tradedGrant({ subject, wanted: readScope(device.scope), task: '' }, { ...limits, nowUs })
    const key = await options.signingKeys.current()
    const tokenId = randomUUID()
    const { issuer, subject: name } = subject.identity
    const about = {
      ref: device.ref,
      client,
      issuer,
      subject: name,
      instance: tokenId,
      until: grant.expiresAtUs,
    }
    if (!(await signIns.append({ kind: 'device_redeemed', ...about, ...asking })))
      throw new OauthError('invalid_grant', 'the device_code was used')
    const token = await mintToken(grant, { ...options.own, ...key, nowUs, tokenId })
    log.info({ ...asking, client, ...told(grant, tokenId) }, 'token issued')
    return issuedOf(grant, token, nowUs)
  }

  /** The person as they were at the sign-in; what they get descends from that sign-in, not from the browser's session. */
  function approvedBy({ ref, sealed }: Device): ScopedProof {
    const plain = keys.approvals.open(sealed, ref)
    if (!plain) throw new Error('an approval was sealed with another identity.own.key')
    const [issuer, subject, groups, signIn, provider, expiresAtUs] = approval.parse(JSON.parse(String(plain)))
    const identity = { issuer, subject, groups, delegation: [], instance: signIn, task: '', ancestors: [] }
    return { identity, expiresAtUs, tokenId: signIn, scope: {}, provider }
  }

  function pollsTooOften(ref: string): boolean {
    const nowMs = clock.monotonicMs()
    const lastMs = polledMs.get(ref)
    polledMs.delete(ref)
    polledMs.set(ref, nowMs)
    const [oldest] = polledMs.keys()
    if (polledMs.size > devicesMax && oldest !== undefined) polledMs.delete(oldest)
    // A little early is the network's doing.
    return lastMs !== undefined && nowMs - lastMs < intervalSec * 900
  }

  const mustWait = ({ proof: { identity } }: Session) =>
    wrongCodesOf(signIns.state(), identityKey(identity), clock.nowUs()) >= wrongCodesMax

  return {
    mustWait,
    ask: (form, asking) => refused(ask(form, asking), asking),
    redeem: (form, asking) => refused(redeem(form, asking), asking),
    async find(code, session, asking) {
      const { devices, deviceByCode } = signIns.state()
      const ref = deviceByCode.get(keys.hashUserCode(normalCode(code)))
      const device = ref === undefined ? undefined : devices.get(ref)
      if (device?.status === 'pending' && device.until > clock.nowUs()) return device
      const reason = 'wrong_code'
      const detail = 'a code that no device waits with'
      await signIns.append({ kind: 'device_refused', reason, detail, ...byWhom(session), ...asking })
      return undefined
    },
    async answer(device, isApproved, session, asking) {
      const { identity, provider, expiresAtUs } = session.proof
      const { issuer, subject, groups } = identity
      const content = [issuer, subject, groups, session.signIn, provider, expiresAtUs]
      const sealed = keys.approvals.seal(Buffer.from(JSON.stringify(content)), device.ref)
      const { ref, client, scope } = device
      const about = { ref, client, scope, until: expiresAtUs, ...byWhom(session), ...asking }
      return signIns.append(
        isApproved ? { kind: 'device_approved', ...about, sealed } : { kind: 'device_denied', ...about },
      )
    },
  }

  /** The client hears the code of the error, the log why; that it has to wait is no news. */
  async function refused<T>(done: Promise<T>, asking: Asking): Promise<T> {
    try {
      return await done
    } catch (thrown) {
      const error = oauthErrorOf(thrown)
      const why = error.cause instanceof Error ? error.cause.message : error.message
      const isNews = error.code !== 'authorization_pending' && error.code !== 'slow_down'
      if (isNews) {
        log.warn({ ...asking, error: error.code, why }, 'device refused')
        await recorded({ kind: 'device_refused', reason: error.code, detail: why, ...asking })
      }
      throw error
    }
  }

  async function recorded(fact: SignInFact & Asking): Promise<void> {
    if (records.waitMs(fact.address) > 0) return
    records.spend(fact.address)
    await signIns.record(fact)
  }
}

function byWhom({ proof: { identity, provider } }: Session) {
  const { issuer, subject, groups, instance } = identity
  return { issuer, subject, groups, instance, provider }
}

function refOf(deviceCode: string): string {
  return createHash('sha256').update(deviceCode).digest('hex')
}

function makeUserCode(): string {
  return Array.from({ length: 8 }, () => letters[randomInt(letters.length)]).join('')
}

/** As people type it. */
function normalCode(code: string): string {
  return code
    .toUpperCase()
    .replace(/[^A-Z]/g, '')
    .slice(0, 16)
}

export function shownCode(code: string): string {
  const normal = normalCode(code)
  return normal.length > 4 ? `${normal.slice(0, 4)}-${normal.slice(4)}` : normal
}
