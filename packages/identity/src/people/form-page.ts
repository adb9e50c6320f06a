/**
 * The page that posts a sign-in request to a provider (SAML's POST binding): it sends itself, or by a button where scripts
 * are off. Pure. Every value is escaped, and the one script has a fixed text, so that a strict policy can name its hash.
 */
import { createHash } from 'node:crypto'

const script = 'document.forms[0].submit()'

export interface FormPage {
  readonly html: string
  /** For the header Content-Security-Policy. Any https address: browsers hold redirects behind the form to it too. */
  readonly contentSecurityPolicy: string
}

export function formPage(url: string, fields: Readonly<Record<string, string>>): FormPage {
  const inputs = Object.entries(fields)
    .map(([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`)
    .join('')
  const hash = createHash('sha256').update(script).digest('base64')
  return {
    html: `<!doctype html><html lang="en"><meta charset="utf-8"><title>Signing in</title><form method="post" action="${escaped(url)}">${inputs}<noscript><button>Continue to sign in</button></noscript></form><script>${script}</script></html>`,
    contentSecurityPolicy: `default-src 'none'; script-src 'sha256-${hash}'; form-action https: ${new URL(url).origin}; base-uri 'none'; frame-ancestors 'none'`,
  }
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
}
