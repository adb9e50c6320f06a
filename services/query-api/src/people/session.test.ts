import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { SignedIn } from '@portcullis/identity/people'
import { createPeopleKeys } from './keys.ts'
import { cookieName, cookieOf, createSessions, isCsrf } from './session.ts'

const keys = createPeopleKeys(randomBytes(32).toString('base64'))
const signedIn = (more: Partial<SignedIn['person']> = {}): SignedIn => ({
  provider: 'corp',
  returnTo: '/',
  person: {
    ...{ issuer: 'https://idp.example', subject: 'ann', name: 'Ann', email: '', groups: ['a'] },
    ...{ authTimeUs: undefined, acr: undefined, amr: [], sessionEndsUs: undefined },
    ...more,
  },
})

function sessionsAt(publicUrl = 'https://gate.example') {
  const at = { nowUs: 1_800_000_000_000_000, ended: new Map<string, number>(), isRead: true }
  const sessions = createSessions({
    ...{ keys, publicUrl, lifeSec: 3600 },
    clock: { nowUs: () => at.nowUs },
    ended: () => (at.isRead ? at.ended : undefined),
  })
  return { at, sessions }
}
const headerOf = (cookie = '') => cookie.split(';')[0] ?? ''

test('over https the cookie is one that no other host can set', () => {
  const { sessions } = sessionsAt()
  const started = sessions.start(signedIn())
  assert.match(
    started?.cookie ?? '',
    /^__Host-portcullis=a1\.[\w-]+; Max-Age=3600; Path=\/; HttpOnly; SameSite=Lax; Secure$/,
  )
  assert.match(sessions.removal, /^__Host-portcullis=; Max-Age=0; .*; Secure$/)
  assert.equal(cookieName('http://127.0.0.1:8080', 'portcullis'), 'portcullis')
})

test('a session ends with its time, and with that of the provider where it is sooner', () => {
  const { at, sessions } = sessionsAt()
  const started = sessions.start(signedIn({ sessionEndsUs: at.nowUs + 60_000_000 }))
  assert.match(started?.cookie ?? '', /Max-Age=60;/)
  const header = headerOf(started?.cookie)
  at.nowUs += 59_000_000
  assert.equal(sessions.find(header)?.proof.identity.subject, 'ann')
  at.nowUs += 1_000_000
  assert.equal(sessions.find(header), undefined)
})

/** A cookie that somebody stole, and its owner signed out of, was good for as long as a replica that started had not read so. */
test('nobody is told from who signed out before the log was read', () => {
  const { at, sessions } = sessionsAt()
  const header = headerOf(sessions.start(signedIn())?.cookie)
  at.isRead = false
  assert.equal(sessions.find(header), undefined)
  at.isRead = true
  assert.equal(sessions.find(header)?.proof.identity.subject, 'ann')
})

test('a session that was signed out of is none', () => {
  const { at, sessions } = sessionsAt()
  const started = sessions.start(signedIn())
  assert.ok(started)
  at.ended.set(started.session.proof.identity.instance, at.nowUs)
  assert.equal(sessions.isOver(started.session), true)
  assert.equal(sessions.find(headerOf(started.cookie)), undefined)
})

test('groups without end do not make a cookie that browsers drop', () => {
  const { sessions } = sessionsAt()
  const guid = () =>
    randomBytes(16)
      .toString('hex')
      .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  const many = Array.from({ length: 100 }, guid)
  const started = sessions.start(signedIn({ groups: many }))
  assert.ok(started && headerOf(started.cookie).length < 4096)
  assert.deepEqual(sessions.find(headerOf(started.cookie))?.proof.identity.groups, many)
  assert.equal(sessions.start(signedIn({ groups: Array.from({ length: 400 }, guid) })), undefined)
})

test('what was sealed with another key, for another purpose, or is longer than any is no session', () => {
  const { sessions } = sessionsAt()
  const fields = Buffer.from('[]')
  for (const sealed of [
    createPeopleKeys(randomBytes(32).toString('hex')).sessions.seal(fields, 'console session'),
    keys.approvals.seal(fields, 'console session'),
    keys.sessions.seal(fields, 'another place'),
    'a1.',
    'A'.repeat(5_000),
  ])
    assert.equal(sessions.find(`__Host-portcullis=${sealed}`), undefined)
})

test('a form of one session is none of another', () => {
  const { sessions } = sessionsAt()
  const [one, two] = [sessions.start(signedIn()), sessions.start(signedIn())]
  assert.ok(one && two)
  assert.equal(isCsrf(one.session, one.session.csrf), true)
  assert.equal(isCsrf(one.session, two.session.csrf), false)
  for (const given of [undefined, '', one.session.csrf.slice(1)])
    assert.equal(isCsrf(one.session, given), false)
})

test('of two cookies of one name neither counts', () => {
  assert.equal(cookieOf('a=1; portcullis=x', 'portcullis'), 'x')
  assert.equal(cookieOf('portcullis=x; portcullis=y', 'portcullis'), undefined)
  assert.equal(cookieOf('xportcullis=x; portcullis', 'portcullis'), undefined)
  assert.equal(cookieOf(undefined, 'portcullis'), undefined)
})
