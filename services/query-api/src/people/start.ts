/** All that it takes for people to sign in, of the configuration and the bus. */
import { createSignIn } from '@portcullis/identity/people'
import type { Started } from '@portcullis/kernel'
import type { Roles } from '../auth.ts'
import type { ConfiguredSignIn } from '../sign-in-options.ts'
import { createDeviceFlow, type DeviceFlowOptions } from './device.ts'
import { createPeopleKeys } from './keys.ts'
import { type SignInLogOptions, startSignInLog } from './log.ts'
import type { PeopleParts } from './routes.ts'
import { createSessions } from './session.ts'

export interface PeopleOptions
  extends Omit<DeviceFlowOptions, 'signIns' | 'keys' | 'publicUrl' | 'log'>,
    Omit<SignInLogOptions, 'clock' | 'log'> {
  readonly configured: ConfiguredSignIn
  /** `identity.own.key`, resolved. */
  readonly ownKey: string
  readonly log: DeviceFlowOptions['log'] & SignInLogOptions['log']
}

export interface StartedPeople extends PeopleParts {
  readonly rolesByProvider: ReadonlyMap<string, Roles | undefined>
}

export async function startPeople(options: PeopleOptions): Promise<Started<StartedPeople>> {
  const { configured, clock, limits, verdictOn } = options
  const { publicUrl } = configured.options
  const keys = createPeopleKeys(options.ownKey)
  const signIns = await startSignInLog(options)
  const signIn = createSignIn({
    ...configured.options,
    key: configured.options.key ?? keys.transactions,
    clock,
    used: signIns.value.used,
  })
  const ended = () => (signIns.value.caughtUp() ? signIns.value.state().ended : undefined)
  const sessions = createSessions({ keys, publicUrl, lifeSec: limits.tokenSecMax, clock, ended })
  const devices = createDeviceFlow({ ...options, signIns: signIns.value, keys, publicUrl })
  const rolesByProvider = configured.roles
  return {
    value: { signIn, signIns: signIns.value, sessions, devices, publicUrl, rolesByProvider, verdictOn },
    stop: () => signIns.stop(),
  }
}
