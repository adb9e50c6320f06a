/** The page where a person says yes or no to a device. It acts on a POST of its own form alone, never on an address. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { shownCode } from './device.ts'
import { formOf, show, textsOf } from './http.ts'
import { answeredPage, codePage, confirmPage } from './pages.ts'
import type { PeopleRouteParts } from './routes.ts'
import { requireOwnForm, type Visitor, visitorOf } from './visitor.ts'

const noSuchCode = 'No device waits with this code. Look at it again; it may be over, then begin again there.'
const tooMany = 'Too many wrong codes. Wait ten minutes, then begin again at the device.'

export function deviceRoutes(app: FastifyInstance, parts: PeopleRouteParts): void {
  const { auth, devices, publicUrl, clock } = parts
  const hidden = { schema: { hide: true } }

  app.get('/device', hidden, async (request, reply) => {
    const code = shownCode(textsOf(request.query).user_code ?? '')
    const visitor = visitorOf(auth, request)
    if (!visitor) return toSignIn(reply, code)
    return show(reply, codePage(visitor.session, code))
  })

  app.post('/device', hidden, async (request, reply) => {
    const form = formOf(request)
    const code = shownCode(form.get('user_code') ?? '')
    const visitor = visitorOf(auth, request)
    if (!visitor) return toSignIn(reply, code)
    requireOwnForm(visitor.session, request, form, publicUrl)
    return answer(request, reply, visitor, { code, form })
  })

  async function answer(
    request: FastifyRequest,
    reply: FastifyReply,
    { session }: Visitor,
    { code, form }: { readonly code: string; readonly form: URLSearchParams },
  ) {
    const asking = { address: request.ip, requestId: request.id }
    if (devices.mustWait(session)) return show(reply.code(429), codePage(session, '', tooMany))
    const device = await devices.find(code, session, asking)
    if (!device) return show(reply.code(404), codePage(session, code, noSuchCode))
    // Or what it gets would end almost at once.
    const { startedAtUs, proof } = session
    if (proof.expiresAtUs - clock.nowUs() < (proof.expiresAtUs - startedAtUs) / 2)
      return toSignIn(reply, code, true)
    const said = form.get('answer')
    // What was shown is what is answered, also where the code has meanwhile become another's.
    if ((said !== 'yes' && said !== 'no') || form.get('device') !== device.ref)
      return show(reply, confirmPage(session, device, code))
    const isApproved = said === 'yes'
    if (await devices.answer(device, isApproved, session, asking))
      return show(reply, answeredPage(isApproved))
    return show(reply.code(409), codePage(session, code, noSuchCode))
  }
}

function toSignIn(reply: FastifyReply, code: string, again = false): FastifyReply {
  const returnTo = `/device${code === '' ? '' : `?user_code=${code}`}`
  return reply.redirect(`/sign-in?return=${encodeURIComponent(returnTo)}${again ? '&again=1' : ''}`, 303)
}
