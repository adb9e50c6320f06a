/**
 * Whether the audit trail knows whom a verdict by hand is about. A verdict may come before its subject, so one on nobody
 * is no mistake; but who mistyped believes to have stopped someone, and must be told.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { VerdictSubject } from '@portcullis/kernel'
import type { Trail } from './trail.ts'

/** Whoever stops an attack waits for an answer: a slow trail may not hold it up. */
const waitMsMax = 1_000

const actsFor = 'arrayExists(actor -> actor.1 = {issuer:String} AND actor.2 = {id:String}, delegation)'

const conditions: Record<VerdictSubject['kind'], string> = {
  // Whoever acts for it is stopped with it.
  identity: `(issuer = {issuer:String} AND subject = {id:String}) OR ${actsFor}`,
  instance: 'issuer = {issuer:String} AND subject = {id:String} AND instance = {instance:String}',
  session: "session_id = {id:String} AND phase = 'opened'",
  token: 'issuer = {issuer:String} AND instance = {instance:String}',
  delegation: actsFor,
}

/** A sentence for who issued it, or undefined where the subject is known. Never rejects: the verdict holds already. */
export async function warningAbout(
  subject: VerdictSubject,
  trail: Pick<Trail, 'rows'>,
): Promise<string | undefined> {
  const sql = `SELECT session_id FROM sessions WHERE ${conditions[subject.kind]} LIMIT 1`
  const { issuer, id, instance } = subject
  const seen = trail.rows(sql, { issuer, id, instance }).then(
    (rows) => rows.length > 0,
    () => undefined,
  )
  const known = await Promise.race([seen, delay(waitMsMax, undefined, { ref: false })])
  if (known) return undefined
  if (known === undefined)
    return 'It holds. Whether its subject exists cannot be told: the audit trail does not answer now.'
  return subject.kind === 'session'
    ? 'It holds, but it matches nothing known: no session of this id is open.'
    : `It holds, but it matches nothing known: the audit trail has no session of this ${subject.kind}.`
}

/** Who stops somebody is not to wait at all: without an answer by then the longest is assumed. */
const expiryWaitMsMax = 150

/**
 * When the last of its tokens that was used ends, microseconds since 1970 UTC; 0 where none was, undefined where the trail
 * does not say. Never rejects.
 */
export async function lastExpiryUs(
  subject: Pick<VerdictSubject, 'kind' | 'issuer' | 'id' | 'instance'>,
  trail: Pick<Trail, 'rows'>,
): Promise<number | undefined> {
  const us = 'toString(ifNull(toUnixTimestamp64Micro(max(token_expires_at)), 0)) AS us'
  const sql = `SELECT ${us} FROM sessions WHERE ${conditions[subject.kind]} LIMIT 1`
  const { issuer, id, instance } = subject
  const found = trail.rows(sql, { issuer, id, instance }).then(
    ([row]) => Number(row?.us ?? 0),
    () => undefined,
  )
  return Promise.race([found, delay(expiryWaitMsMax, undefined, { ref: false })])
}
