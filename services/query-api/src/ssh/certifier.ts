/**
 * Gives out SSH certificates to who is proven. Each one stands in the control log before its holder has it: what they do
 * on a server of their own is in no trail of ours, so this is all there will be. It refuses whoever is stopped by a verdict,
 * a token that is good for targets only, and more certificates than anyone needs: the log is kept for ever.
 */
import { randomBytes } from 'node:crypto'
import type { SshConfig } from '@portcullis/config'
import { canonicalAddress } from '@portcullis/identity'
import { type Clock, identityKey } from '@portcullis/kernel'
import type { ControlLog } from '@portcullis/platform/control'
import type { Log } from '@portcullis/platform/service'
import {
  fingerprintOf,
  parsePublicKey,
  type SshCa,
  SshCaError,
  signUserCertificate,
} from '@portcullis/ssh-ca'
import type { Caller } from '../auth.ts'
import { invalid } from '../input.ts'
import { ApiError } from '../problems.ts'
import { stoppedBy, type Verdicts } from '../verdicts.ts'
import { allowedBy, type Wanted } from './rules.ts'

export interface Certified {
  readonly certificate: string
  /** Decimal: it may be more than a JSON number holds. */
  readonly serial: string
  /** Seconds since 1970 UTC; no longer valid from then on. */
  readonly validBefore: number
  readonly principals: readonly string[]
  readonly hosts: readonly string[]
}

export interface CertificateOrder extends Wanted {
  readonly publicKey: string
  /** Good only from where it is asked for, also where the rule does not say so. */
  readonly pinned: boolean
}

export interface Certifier {
  /** The line for TrustedUserCAKeys. */
  readonly caLine: string
  /** @throws ApiError forbidden, invalid_request, overloaded; ControlError where it cannot be recorded */
  certify(order: CertificateOrder, caller: Caller, address: string): Promise<Certified>
}

export interface CertifierOptions {
  readonly ca: SshCa
  readonly rules: SshConfig['certificates']
  readonly control: Pick<ControlLog, 'write'>
  readonly verdicts: Pick<Verdicts, 'active'>
  readonly clock: Clock
  readonly log: Pick<Log, 'info' | 'warn'>
}

/** Of a server's clock that is behind. */
const skewSec = 60
const perMinuteMax = 10

export function createCertifier({ ca, rules, control, verdicts, clock, log }: CertifierOptions): Certifier {
  const lately = createTally(clock)

  async function issue(order: CertificateOrder, caller: Caller, address: string): Promise<Certified> {
    const { proof, expiresAtUs } = caller
    if (!proof || expiresAtUs === undefined)
      throw new ApiError('forbidden', 'A static token of the API is nobody who could sign in by SSH.')
    const { identity, scope } = proof
    if (scope.targets || scope.roles)
      throw new ApiError('forbidden', 'You are known, but your token is good for targets only.')
    if (stoppedBy(verdicts.active(), identity))
      throw new ApiError('forbidden', 'You are stopped by a verdict; ask who is on call.')
    const allowed = allowedBy(rules, identity, order)
    if ('why' in allowed) throw new ApiError('forbidden', allowed.why)
    const key = identityKey(identity)
    if (!lately.take(key))
      throw new ApiError('overloaded', `No more than ${perMinuteMax} certificates a minute; use one again.`, {
        retryAfterSec: 60,
      })
    const nowSec = Math.floor(clock.nowUs() / 1e6)
    const sourceAddresses = order.pinned || allowed.sourceAddress === 'caller' ? [networkOf(address)] : []
    const keyId = printable(identity.task === '' ? key : `${key} ${identity.task}`)
    const signed = sign({
      publicKey: order.publicKey,
      serial: randomBytes(8).readBigUInt64BE(),
      keyId,
      principals: allowed.principals,
      validAfter: nowSec - skewSec,
      // A child dies no later than what it was given for.
      validBefore: Math.min(nowSec + allowed.lifeSec, Math.floor(expiresAtUs / 1e6)),
      extensions: allowed.extensions,
      ...(sourceAddresses.length > 0 && { sourceAddresses }),
    })
    const serial = String(signed.serial)
    const { validBefore } = signed
    const fingerprint = fingerprintOf(parsePublicKey(order.publicKey))
    await control.write(
      {
        type: 'ssh-certificate.issued',
        ...{ serial, keyId, fingerprint, sourceAddresses },
        principals: allowed.principals,
        expiresAt: validBefore * 1_000_000,
      },
      caller.actor,
    )
    log.info(
      { serial, keyId, fingerprint, principals: allowed.principals, address },
      'SSH certificate issued',
    )
    const { principals, hosts } = allowed
    return { certificate: signed.line, serial, validBefore, principals, hosts }
  }

  function sign(request: Parameters<typeof signUserCertificate>[1]) {
    try {
      return signUserCertificate(ca, request)
    } catch (error) {
      if (!(error instanceof SshCaError)) throw error
      if (error.code === 'public_key')
        throw invalid([{ in: 'body', field: 'publicKey', message: error.message }])
      throw new ApiError('rejected', error.message, { cause: error })
    }
  }

  return {
    caLine: ca.publicKeyLine,
    async certify(order, caller, address) {
      try {
        return await issue(order, caller, address)
      } catch (error) {
        const { issuer, subject } = caller.actor
        if (error instanceof ApiError)
          log.warn(
            { identity: `${issuer}|${subject}`, address, why: error.message },
            'SSH certificate refused',
          )
        throw error
      }
    },
  }
}

function networkOf(address: string): string {
  const canonical = canonicalAddress(address)
  return `${canonical}/${canonical.includes(':') ? 128 : 32}`
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 256)
}

/** How many each had within the minute; nobody is kept who had none. */
function createTally(clock: Clock) {
  let counts = new Map<string, number>()
  let startedMs = clock.monotonicMs()
  return {
    take(key: string): boolean {
      if (clock.monotonicMs() - startedMs >= 60_000) {
        counts = new Map()
        startedMs = clock.monotonicMs()
      }
      const count = counts.get(key) ?? 0
      if (count >= perMinuteMax) return false
      counts.set(key, count + 1)
      return true
    },
  }
}
