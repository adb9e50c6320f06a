/** What each page of sign-in says. Pure. */
import type { SignIn } from '@portcullis/identity/people'
import { html, page } from './html.ts'
import type { Session } from './session.ts'
import type { Device } from './state.ts'

export function choicePage(providers: SignIn['providers'], returnTo: string): string {
  const query = `?return=${encodeURIComponent(returnTo)}`
  const links = providers.map(
    ({ name, title }) => html`<a class="button" href="/sign-in/${name}${query}">Sign in with ${title}</a>`,
  )
  return page('Sign in', html`<p>Choose where you have your account.</p>${links}`)
}

export function signedInPage(session: Session, role: string): string {
  return page(
    'You are signed in',
    html`<dl>${who(session)}<dt>Role</dt><dd>${role || 'none: none of your groups has one here'}</dd><dt>Until</dt><dd>${timeText(session.proof.expiresAtUs)}</dd></dl>
<form method="post" action="/sign-out"><input type="hidden" name="csrf" value="${session.csrf}"><button>Sign out</button></form>
<p><a href="/device">Sign in a command line or a device</a></p>`,
  )
}

export function signedOutPage(): string {
  return page(
    'You are signed out',
    html`<p>What you allowed a command line or a device goes on until its own time ends.</p><p><a href="/sign-in">Sign in again</a></p>`,
  )
}

export function codePage(session: Session, code: string, problem?: string): string {
  const wrong =
    problem === undefined ? html`` : html`<p class="error" role="alert" id="problem">${problem}</p>`
  return page(
    'Sign in a device',
    html`${wrong}<p>Type the code that your command line or device shows. Nobody else has a reason to send you one.</p>
<form method="post" action="/device"><input type="hidden" name="csrf" value="${session.csrf}"><label for="code">Code</label><input id="code" name="user_code" value="${code}" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="16" required><button class="go">Continue</button></form>
<dl>${who(session)}</dl>`,
  )
}

export function confirmPage(session: Session, device: Device, code: string): string {
  const scope = device.scope === '' ? 'everything that you may' : device.scope
  return page(
    'Is this you?',
    html`<p>Something asks to act as you. Say yes only if you have just started it, and it shows this code:</p>
<p class="code">${code}</p>
<dl><dt>Calls itself</dt><dd>${device.client}</dd><dt>From</dt><dd>${device.address}</dd><dt>Asked at</dt><dd>${timeText(device.askedAt)}</dd><dt>May use</dt><dd>${scope}</dd><dt>Until</dt><dd>${timeText(session.proof.expiresAtUs)} at the latest</dd>${who(session)}</dl>
<form method="post" action="/device"><input type="hidden" name="csrf" value="${session.csrf}"><input type="hidden" name="user_code" value="${code}"><input type="hidden" name="device" value="${device.ref}"><button name="answer" value="no">No, this is not me</button><button class="go" name="answer" value="yes">Yes, let it act as me</button></form>`,
  )
}

export function answeredPage(isApproved: boolean): string {
  return isApproved
    ? page('Done', html`<p>Go back to your command line or device. You can close this page.</p>`)
    : page(
        'Refused',
        html`<p>It was given nothing. If you did not start it, tell whoever runs Portcullis.</p>`,
      )
}

/** `requestId` is what the trail and the log can be searched for. */
export function errorPage(title: string, sentence: string, requestId: string, back = '/sign-in'): string {
  return page(
    title,
    html`<p class="error" role="alert">${sentence}</p><p><a href="${back}">Go back</a></p><p><small>If you ask for help, give this number: <code>${requestId}</code></small></p>`,
  )
}

function who({ name, email, proof: { identity, provider } }: Session) {
  const shown = [name, email].filter(Boolean).join(', ') || identity.subject
  return html`<dt>You are</dt><dd>${shown} <small>(${provider}: ${identity.subject})</small></dd>`
}

function timeText(us: number): string {
  return `${new Date(us / 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
