/**
 * The pages where people answer, without a script: what waits, one of them, and the form. They act on a POST of their own form
 * alone, never on an address, and an answer is for the very request that the page showed. Whoever is not signed in does so
 * first and comes back.
 */
import {
  type Approval,
  actorKey,
  type Clock,
  identityKey,
  objectionToApprover,
  standingOf,
} from '@portcullis/kernel'
import type { Log } from '@portcullis/platform/service'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Authenticator, type Caller, requireRole } from '../auth.ts'
import { formOf, show, takeForms, textsOf } from '../people/http.ts'
import { errorPage } from '../people/pages.ts'
import { requireOwnForm, type Visitor, visitorOf } from '../people/visitor.ts'
import { ApiError, apiErrorOf, problemOf } from '../problems.ts'
import { type Approvals, isOf } from './approvals.ts'
import { approvalPage, approvalsPage } from './pages.ts'

export interface ApprovalPageParts {
  readonly approvals: Approvals
  readonly auth: Authenticator
  readonly publicUrl: string
  readonly clock: Pick<Clock, 'nowUs'>
  readonly log: Pick<Log, 'error'>
}

const hidden = { schema: { hide: true } }

export async function approvalPages(app: FastifyInstance, parts: ApprovalPageParts): Promise<void> {
  const { approvals, auth, publicUrl, clock } = parts
  takeForms(app)
  app.setErrorHandler((thrown, request, reply) => {
    const error = apiErrorOf(thrown)
    if (error.code === 'internal')
      parts.log.error({ err: error.cause, requestId: request.id }, 'a request failed')
    const { status, title } = problemOf(error, request.id)
    if (error.retryAfterSec !== undefined) reply.header('retry-after', String(error.retryAfterSec))
    return show(reply.code(status), errorPage(title, error.message, request.id, '/approvals'))
  })

  app.get('/approvals', hidden, async (request, reply) => {
    const visitor = visitorOf(auth, request)
    if (!visitor) return toSignIn(reply, '/approvals')
    const nowUs = clock.nowUs()
    const waiting = approvals
      .list()
      .filter((one) => standingOf(one, nowUs) === 'pending' && isVisible(one, visitor))
    return show(reply, approvalsPage(waiting.slice(0, shownMax), nowUs))
  })

  app.get('/approvals/:id', hidden, async (request, reply) => {
    const visitor = visitorOf(auth, request)
    const id = idOf(request)
    if (!visitor) return toSignIn(reply, `/approvals/${encodeURIComponent(id)}`)
    return showOne(reply, visitor, visible(id, visitor))
  })

  app.post('/approvals/:id', hidden, async (request, reply) => {
    const visitor = visitorOf(auth, request)
    const id = idOf(request)
    const path = `/approvals/${encodeURIComponent(id)}`
    if (!visitor) return toSignIn(reply, path)
    const form = formOf(request)
    requireOwnForm(visitor.session, request, form, publicUrl)
    const answer = form.get('answer')
    const digest = form.get('digest')
    if ((answer !== 'approve' && answer !== 'deny') || digest === null)
      throw new ApiError('invalid_request', 'The request is not one that this page makes.')
    requireRole(visitor, 'approver')
    const reason = (form.get('reason') ?? '').slice(0, 2000)
    try {
      await approvals.answer(id, { answer, digest, reason, via: 'page' }, visitor)
    } catch (thrown) {
      const error = apiErrorOf(thrown)
      if (error.code !== 'conflict' && error.code !== 'forbidden') throw thrown
      const { status } = problemOf(error, request.id)
      return showOne(reply.code(status), visitor, visible(id, visitor), error.message)
    }
    // So that going back, or again, sends nothing twice.
    return reply.redirect(path, 303)
  })

  function visible(id: string, visitor: Visitor): Approval {
    const approval = approvals.get(id)
    if (isVisible(approval, visitor)) return approval
    throw new ApiError('not_found', 'There is no approval of this number, or it is not yours to see.')
  }

  function showOne(reply: FastifyReply, visitor: Visitor, approval: Approval, problem?: string) {
    const objection = objectionOf(approval, visitor)
    const viewed = { approval, nowUs: clock.nowUs(), objection, ...(problem !== undefined && { problem }) }
    return show(reply, approvalPage(visitor.session, viewed))
  }
}

const shownMax = 200

function isVisible(approval: Approval, { role, proof }: Caller): boolean {
  return role !== undefined || (proof !== undefined && isOf(approval, proof.identity))
}

function objectionOf(approval: Approval, visitor: Visitor): string | undefined {
  try {
    requireRole(visitor, 'approver')
  } catch (error) {
    if (error instanceof ApiError) return 'it takes the role approver'
    throw error
  }
  const by = actorKey(visitor.actor)
  if (approval.answers.some((one) => one.by === by)) return 'you have answered'
  const { groups = [], delegation = [] } = visitor.proof?.identity ?? {}
  return objectionToApprover(approval, { by, groups, delegation: delegation.map(identityKey) })?.why
}

function idOf(request: FastifyRequest): string {
  return textsOf(request.params).id ?? ''
}

function toSignIn(reply: FastifyReply, returnTo: string): FastifyReply {
  return reply.redirect(`/sign-in?return=${encodeURIComponent(returnTo)}`, 303)
}
