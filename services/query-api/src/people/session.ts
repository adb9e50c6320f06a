/**
 * A person's console session: who they are, proven by their provider, sealed into a cookie. Nothing is kept here, so every
 * replica takes it; it ends with its time, with a sign-out (sign-ins topic) and with a revocation of its token, of the
 * sign-in it came from, or of the person. It refuses a cookie that comes twice: someone put the second one there.
 */
import { randomUUID, timingSafeEqual } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { type ScopedProof, tokenName } from '@portcullis/identity'
import type { SignedIn } from '@portcullis/identity/people'
import type { Clock } from '@portcullis/kernel'
import { z } from 'zod'
import type { PeopleKeys } from './keys.ts'
import type { SignInState } from './state.ts'

export interface Session {
  readonly proof: ScopedProof & { readonly provider: string }
  /** For the screen. */
  readonly name: string
  readonly email: string
  /** When the person signed in, microseconds since 1970 UTC. */
  readonly startedAtUs: number
  /** Id of the sign-in, from which all that it leads to descends. */
  readonly signIn: string
  readonly csrf: string
}

export interface Sessions {
  /** Undefined where it would not fit into a cookie. */
  start(signedIn: SignedIn): { readonly session: Session; readonly cookie: string } | undefined
  /** From a request's header `cookie`; undefined for none, and for one that is over or not ours. */
  find(cookieHeader: string | undefined): Session | undefined
  /** Whether there is a cookie of ours, good or not. */
  isIn(cookieHeader: string | undefined): boolean
  /** Whether it was signed out of, or its time is over. */
  isOver(session: Session): boolean
  /** For a browser to forget it. */
  readonly removal: string
}

export interface SessionOptions {
  readonly keys: Pick<PeopleKeys, 'sessions' | 'csrfOf'>
  /** Where browsers reach us. */
  readonly publicUrl: string
  readonly lifeSec: number
  readonly clock: Pick<Clock, 'nowUs'>
  /** Undefined before the log was read: until then nobody can be told from who signed out. */
  readonly ended: () => SignInState['ended'] | undefined
}

/** Browsers take name, value and attributes up to 4,096 bytes. */
const cookieCharsMax = 3_900
const plainBytesMax = 65_536
const context = 'console session'

const content = z.tuple([
  z.string(), // issuer
  z.string(), // subject
  z.array(z.string()),
  z.string(), // instance
  z.string(), // sign-in
  z.string(), // provider
  z.int(), // started
  z.int(), // ends
  z.string(), // name
  z.string(), // email
])

export function createSessions(options: SessionOptions): Sessions {
  const { keys, clock, lifeSec } = options
  const name = cookieName(options.publicUrl, 'portcullis')
  const attributes = cookieAttributes(options.publicUrl, 'lax')

  const sessionOf = (fields: z.output<typeof content>): Session => {
    const [issuer, subject, groups, instance, signIn, provider, startedAtUs, expiresAtUs, shown, email] =
      fields
    const ancestors = [tokenName({ issuer, instance: signIn })]
    const identity = { issuer, subject, groups, delegation: [], instance, task: '', ancestors }
    return {
      proof: { identity, expiresAtUs, tokenId: instance, scope: {}, provider },
      ...{ name: shown, email, startedAtUs, signIn, csrf: keys.csrfOf(instance) },
    }
  }

  const isOver: Sessions['isOver'] = ({ proof: { expiresAtUs, identity } }) =>
    expiresAtUs <= clock.nowUs() || (options.ended()?.has(identity.instance) ?? true)

  return {
    start({ person, provider }) {
      const nowUs = clock.nowUs()
      const endsUs = Math.min(nowUs + lifeSec * 1e6, person.sessionEndsUs ?? Number.POSITIVE_INFINITY)
      const fields: z.output<typeof content> = [
        person.issuer,
        person.subject,
        [...person.groups],
        randomUUID(),
        `signin-${randomUUID()}`,
        provider,
        nowUs,
        Math.floor(endsUs),
        person.name.slice(0, 200),
        person.email.slice(0, 200),
      ]
      const sealed = keys.sessions.seal(deflateRawSync(JSON.stringify(fields)), context)
      if (sealed.length > cookieCharsMax) return undefined
      const maxAgeSec = Math.max(0, Math.floor((endsUs - nowUs) / 1e6))
      return { session: sessionOf(fields), cookie: `${name}=${sealed}; Max-Age=${maxAgeSec}${attributes}` }
    },
    find(header) {
      const sealed = cookieOf(header, name)
      if (sealed === undefined || sealed.length > cookieCharsMax) return undefined
      const plain = keys.sessions.open(sealed, context)
      if (!plain) return undefined
      const text = inflateRawSync(plain, { maxOutputLength: plainBytesMax }).toString('utf8')
      const session = sessionOf(content.parse(JSON.parse(text)))
      return isOver(session) ? undefined : session
    },
    isIn: (header) => cookieOf(header, name) !== undefined,
    isOver,
    removal: `${name}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT${attributes}`,
  }
}

/** With the prefix that keeps other hosts of the domain from setting it, where the cookie can be Secure. */
export function cookieName(publicUrl: string, name: string): string {
  return publicUrl.startsWith('https:') ? `__Host-${name}` : name
}

/** SAML's answer comes from another site; browsers take None with Secure only, which loopback counts as. */
export function cookieAttributes(publicUrl: string, sameSite: 'lax' | 'none'): string {
  const secure = publicUrl.startsWith('https:') || sameSite === 'none'
  return `; Path=/; HttpOnly; SameSite=${sameSite === 'lax' ? 'Lax' : 'None'}${secure ? '; Secure' : ''}`
}

/** The one cookie of this name; undefined for none and for several. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  const values = (header ?? '').split(';').flatMap((pair) => {
    const at = pair.indexOf('=')
    return pair.slice(0, at).trim() === name ? [pair.slice(at + 1).trim()] : []
  })
  return values.length === 1 ? values[0] : undefined
}

export function isCsrf({ csrf }: Session, given: string | undefined): boolean {
  const [wanted, got] = [Buffer.from(csrf), Buffer.from(given ?? '')]
  return wanted.length === got.length && timingSafeEqual(wanted, got)
}
