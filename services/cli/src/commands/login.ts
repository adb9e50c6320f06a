import { setTimeout as sleep } from 'node:timers/promises'
import { openBrowser } from '../browser.ts'
import type { Command } from '../command.ts'
import { signInByDevice } from '../device-flow.ts'
import { gateOf } from '../gate.ts'

export const login: Command = {
  name: 'login',
  summary: 'Sign in as a person, in a browser here or anywhere',
  usage: '[--url URL] [--no-browser]',
  details: [
    'Shows an address and a code; who opens it and says yes is signed in here.',
    'The token lies in tokens.json of PORTCULLIS_CONFIG_DIR, which only you can read.',
  ],
  example: 'portcullis login --url https://gate.example',
  options: { 'no-browser': { type: 'boolean' } },
  async run(call) {
    const { options, env, out, interrupted } = call
    const { api, store } = gateOf(call)
    const granted = await signInByDevice({
      api,
      nowMs: Date.now,
      sleep: (ms) => sleep(ms, undefined, { signal: interrupted }),
      show({ userCode, verificationUri, verificationUriComplete, expiresInSec }) {
        out.remark(`Open ${out.bold(verificationUri)} and enter ${out.bold(userCode)}`)
        out.remark(`Waiting for at most ${Math.ceil(expiresInSec / 60)} minutes; Ctrl-C gives up.`)
        if (out.json)
          out.result(
            { status: 'pending', verificationUri, verificationUriComplete, userCode, expiresInSec },
            '',
          )
        else if (!options['no-browser'] && out.isTerminal)
          openBrowser(verificationUriComplete ?? verificationUri, env)
      },
    })
    const expiresAt = new Date(Date.now() + granted.expiresInSec * 1000).toISOString()
    store.put(api.url, { token: granted.token, expiresAt })
    const { subject } = await api.get<{ subject: string }>('/v1/whoami', granted.token)
    out.result(
      { status: 'signed-in', url: api.url, subject, expiresAt },
      `Signed in at ${api.url} as ${subject} until ${expiresAt}`,
    )
    return 0
  },
}

export const logout: Command = {
  name: 'logout',
  summary: 'Forget the token of the last sign-in',
  usage: '[--url URL]',
  details: ['It only forgets it here; to have it refused everywhere, revoke it (docs/tokens.md).'],
  example: 'portcullis logout',
  async run(call) {
    const { api, store } = gateOf(call)
    const was = store.remove(api.url)
    call.out.result(
      { url: api.url, signedOut: was },
      was ? `Signed out at ${api.url}` : `You were not signed in at ${api.url}`,
    )
    return 0
  },
}
