/**
 * What the sign-ins topic says, folded: what was used, which sessions were signed out of, which devices ask and what they
 * were answered. Pure. Every replica folds the same events in the same order, so of two that want the same thing the log
 * says who was first. It forgets what is over, and nothing before.
 */
import { identityKey, type SignInEvent } from '@portcullis/kernel'

export interface Device {
  readonly ref: string
  readonly client: string
  readonly scope: string
  readonly address: string
  /** Microseconds since 1970 UTC. */
  readonly askedAt: number
  readonly until: number
  readonly status: 'pending' | 'approved' | 'denied' | 'redeemed'
  /** Who approved, sealed. */
  readonly sealed: string
}

export interface SignInState {
  /** What may be used once -> until when that is remembered. */
  readonly uses: Map<string, number>
  /** Sessions that were signed out of, by instance -> when they would have ended. */
  readonly ended: Map<string, number>
  readonly devices: Map<string, Device>
  /** Keyed hash of a user code -> device. */
  readonly deviceByCode: Map<string, string>
  /** When a person entered a code that is nobody's, by identity key. */
  readonly wrongCodes: Map<string, readonly number[]>
}

/** For how long wrong codes count against a person. */
export const wrongCodeWindowUs = 600_000_000

export function initialSignIns(): SignInState {
  return {
    ...{ uses: new Map(), ended: new Map(), devices: new Map() },
    ...{ deviceByCode: new Map(), wrongCodes: new Map() },
  }
}

/** Changes `state` in place. False where it changes nothing: something like it was there before, or is over. */
export function evolveSignIns(state: SignInState, event: SignInEvent): boolean {
  switch (event.kind) {
    case 'claimed':
      if (state.uses.has(event.ref)) return false
      state.uses.set(event.ref, event.until)
      return true
    case 'signed_out':
      state.ended.set(event.instance, event.until)
      return true
    case 'device_asked':
      return ask(state, event)
    case 'device_approved':
      return move(state, event, 'pending', 'approved')
    case 'device_denied':
      return move(state, event, 'pending', 'denied')
    case 'device_redeemed':
      return move(state, event, 'approved', 'redeemed')
    case 'device_refused':
      return countWrongCode(state, event)
    default:
      return true
  }
}

/** How many codes that are nobody's this person entered within the window. */
export function wrongCodesOf(state: SignInState, identity: string, nowUs: number): number {
  return (state.wrongCodes.get(identity) ?? []).filter((at) => at > nowUs - wrongCodeWindowUs).length
}

export function pruneSignIns(state: SignInState, nowUs: number): void {
  for (const ended of [state.uses, state.ended])
    for (const [key, until] of ended) if (until < nowUs) ended.delete(key)
  for (const [ref, { until }] of state.devices) if (until < nowUs) state.devices.delete(ref)
  for (const [code, ref] of state.deviceByCode) if (!state.devices.has(ref)) state.deviceByCode.delete(code)
  for (const [who, times] of state.wrongCodes)
    if (times.every((at) => at <= nowUs - wrongCodeWindowUs)) state.wrongCodes.delete(who)
}

function ask(state: SignInState, event: SignInEvent): boolean {
  const { ref, client, scope, address, at: askedAt, until, userCode } = event
  if (state.devices.has(ref) || state.deviceByCode.has(userCode)) return false
  state.devices.set(ref, { ref, client, scope, address, askedAt, until, status: 'pending', sealed: '' })
  state.deviceByCode.set(userCode, ref)
  return true
}

function move(
  state: SignInState,
  { ref, at, sealed }: SignInEvent,
  from: Device['status'],
  to: Device['status'],
): boolean {
  const device = state.devices.get(ref)
  if (device?.status !== from || at >= device.until) return false
  state.devices.set(ref, { ...device, status: to, sealed: to === 'approved' ? sealed : '' })
  return true
}

function countWrongCode(state: SignInState, event: SignInEvent): boolean {
  if (event.reason !== 'wrong_code') return true
  const who = identityKey(event)
  const recent = (state.wrongCodes.get(who) ?? []).filter((at) => at > event.at - wrongCodeWindowUs)
  state.wrongCodes.set(who, [...recent, event.at].slice(-100))
  return true
}
