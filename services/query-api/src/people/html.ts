/**
 * The few pages that people see: served as they are, read without scripts, on a phone, in the
 * dark, by a screen reader. Pure. Refuses scripts, frames and everything from elsewhere by its policy; every value is
 * escaped, and what is not a value is written here.
 */
import { createHash } from 'node:crypto'

/** Text that is HTML already. */
export interface Html {
  readonly html: string
}

/** `html\`<p>${text}</p>\``: values are escaped, Html and lists of it are taken as they are. */
export function html(
  parts: TemplateStringsArray,
  ...values: readonly (string | Html | readonly Html[])[]
): Html {
  return { html: parts.reduce((all, part, index) => all + textOf(values[index - 1]) + part) }
}

function textOf(value: string | Html | readonly Html[] | undefined): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return escaped(value)
  return 'html' in value ? value.html : value.map((one) => one.html).join('')
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
}

const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #5b6570; --line: #b9c1ca; --go: #0b5cad; --go-ink: #fff; --no: #a3201d; --wash: #f3f5f7 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebee; --paper: #14181d; --soft: #a5b0bb; --line: #47525d; --go: #7db8f5; --go-ink: #0d1a27; --no: #ff9d98; --wash: #1d232a } }
* { box-sizing: border-box }
body { margin: 0; padding: 1.5rem 1rem 3rem; background: var(--paper); color: var(--ink); font: 1.0625rem/1.5 system-ui, sans-serif }
header, main, footer { max-width: 30rem; margin: 0 auto }
header { color: var(--soft); letter-spacing: .02em }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 1rem 0 }
a.button, button { display: block; width: 100%; margin: .75rem 0; padding: .75rem 1rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--wash); color: var(--ink); font: inherit; text-align: center; text-decoration: none; cursor: pointer }
button.go { background: var(--go); border-color: var(--go); color: var(--go-ink); font-weight: 600 }
a { color: var(--go) }
:focus-visible { outline: 3px solid var(--go); outline-offset: 2px }
label { display: block; margin: 1rem 0 .25rem }
input { width: 100%; padding: .75rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--paper); color: var(--ink); font: 1.375rem/1.2 ui-monospace, monospace; letter-spacing: .1em; text-transform: uppercase }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; margin: 1rem 0; padding: 1rem; background: var(--wash); border-radius: .5rem; overflow-wrap: anywhere }
dt { color: var(--soft) } dd { margin: 0 }
textarea { width: 100%; padding: .75rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--paper); color: var(--ink); font: inherit }
pre { margin: 1rem 0; padding: 1rem; background: var(--wash); border: 1px solid var(--line); border-radius: .5rem; font: .9375rem/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; tab-size: 4 }
.list { list-style: none; margin: 1rem 0; padding: 0 } .list li { padding: .75rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
.state { font-weight: 600 }
.code { font: 600 1.75rem/1.3 ui-monospace, monospace; letter-spacing: .1em }
.error { border-left: .25rem solid var(--no); padding: .25rem 0 .25rem .75rem }
small, footer { color: var(--soft); font-size: .9375rem } code { overflow-wrap: anywhere }
`

const styleHash = createHash('sha256').update(style).digest('base64')

export const pagePolicy = `default-src 'none'; style-src 'sha256-${styleHash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`

/** Of every answer that a browser shows. */
export const pageHeaders: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': pagePolicy,
  'x-frame-options': 'DENY',
  // A code may stand in the address.
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
}

export function page(title: string, body: Html): string {
  return `<!doctype html>
${
  html`<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title} · Portcullis</title><style>${{ html: style }}</style></head>
<body><header>Portcullis</header><main><h1>${title}</h1>${body}</main></body>
</html>`.html
}
`
}
