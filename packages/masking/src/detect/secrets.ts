/**
 * Keys and tokens by the prefix that their maker gives them, JWTs and private keys. Refuses to guess at secrets without
 * a form: entropy alone takes every hash for one. A token's own checksum is not asked: one that is mistyped by a letter
 * still gives the rest away, and nothing else begins that way.
 */
import { isWord } from './bytes.ts'
import type { Span } from '@portcullis/kernel'

interface Prefix {
  readonly bytes: Uint8Array
  readonly alphabet: Uint8Array
  readonly least: number
  readonly most: number
}

const upper = alphabetOf(/[A-Z0-9]/)
const hex = alphabetOf(/[0-9a-f]/)
const alnum = alphabetOf(/[A-Za-z0-9]/)
const url = alphabetOf(/[A-Za-z0-9_-]/)
const dotted = alphabetOf(/[A-Za-z0-9_.=-]/)
const base64 = alphabetOf(/[A-Za-z0-9+/=]/)

const long = 4096

/** What is known of each maker's form, by its documentation or its scanners' rules; in no order. */
const prefixes: readonly Prefix[] = [
  ...same(['AKIA', 'ASIA', 'ABIA', 'ACCA'], upper, 16, 16), // AWS
  ...same(['ghp_', 'gho_', 'ghu_', 'ghr_'], alnum, 36, 251), // GitHub
  prefix('ghs_', dotted, 36, long),
  prefix('github_pat_', alphabetOf(/[A-Za-z0-9_]/), 60, 251),
  ...same(['glpat-', 'gldt-', 'glrt-', 'glptt-', 'glcbt-', 'glsoat-', 'glft-', 'glagent-'], dotted, 20, 300), // GitLab
  ...same(['xoxb-', 'xoxp-', 'xoxa-', 'xoxr-', 'xoxs-', 'xoxe-', 'xoxc-', 'xoxd-', 'xapp-'], url, 20, 512), // Slack
  ...same(['sk_live_', 'rk_live_', 'sk_test_', 'rk_test_', 'sk_org_', 'whsec_'], alnum, 16, 256), // Stripe
  prefix('AIza', url, 35, 35), // Google
  prefix('GOCSPX-', url, 28, 28),
  prefix('ya29.', url, 30, 2048),
  prefix('npm_', alnum, 36, 36),
  prefix('pypi-AgE', url, 50, long),
  ...same(['sk-proj-', 'sk-svcacct-', 'sk-admin-', 'sk-None-'], url, 40, 512), // OpenAI
  ...same(['sk-ant-api', 'sk-ant-admin', 'sk-ant-oat', 'sk-ant-ort', 'sk-ant-sid'], url, 40, 512), // Anthropic
  prefix('sk-or-v1-', hex, 64, 64), // OpenRouter
  prefix('sk-', alnum, 32, 64), // OpenAI's older and others of its kind
  prefix('SG.', dotted, 60, 80), // SendGrid
  prefix('SK', hex, 32, 32), // Twilio
  prefix('hf_', alnum, 34, 40), // Hugging Face
  ...same(['dop_v1_', 'doo_v1_', 'dor_v1_'], hex, 64, 64), // DigitalOcean
  ...same(['hvs.', 'hvb.', 'hvr.'], url, 24, 512), // Vault
  ...same(['shpat_', 'shpca_', 'shppa_', 'shpss_'], alphabetOf(/[A-Fa-f0-9]/), 32, 32), // Shopify
  prefix('dapi', hex, 32, 36), // Databricks
  ...same(['glsa_', 'glc_'], alphabetOf(/[A-Za-z0-9_+/=]/), 32, 512), // Grafana
  ...same(['lin_api_', 'lin_oauth_'], alnum, 32, 64), // Linear
  ...same(['ntn_', 'secret_'], alnum, 43, 50), // Notion
  prefix('PMAK-', alphabetOf(/[a-f0-9-]/), 59, 59), // Postman
  prefix('rubygems_', hex, 48, 48),
  prefix('dckr_pat_', url, 27, 40), // Docker
  prefix('EAA', alnum, 80, 512), // Meta
  prefix('sq0csp-', url, 43, 43), // Square
  prefix('sq0atp-', url, 22, 22),
  prefix('AGE-SECRET-KEY-1', upper, 58, 58),
  prefix('xkeysib-', alphabetOf(/[a-zA-Z0-9-]/), 64, 90), // Brevo
  prefix('key-', hex, 32, 32), // Mailgun
  prefix('nfp_', alnum, 36, 40), // Netlify
  prefix('pul-', hex, 40, 40), // Pulumi
  prefix('dp.pt.', alnum, 40, 48), // Doppler
  prefix('tskey-', url, 20, 128), // Tailscale
  prefix('sntrys_', base64, 40, 512), // Sentry
  prefix('pck_', alphabetOf(/[A-Za-z0-9_]/), 66, 66), // Portcullis
]

/** By their first two bytes, the longest prefix first. */
const byHead: readonly (readonly Prefix[] | undefined)[] = indexed()

const heads = Uint8Array.from({ length: 65_536 }, (_, head) => (byHead[head] === undefined ? 0 : 1))

const placeholderVariety = 8

/** Where a key or token ends whose prefix begins at `start`, else -1. */
export function key(bytes: Uint8Array, start: number, limit: number): number {
  for (const candidate of byHead[headOf(bytes, start)] ?? []) {
    const end = endOf(bytes, start, limit, candidate)
    if (end !== -1) return end
  }
  return -1
}

/** Whether any prefix begins with these two bytes: asked at every word. */
export function mayBeKey(bytes: Uint8Array, start: number): boolean {
  return heads[headOf(bytes, start)] === 1
}

function endOf(bytes: Uint8Array, start: number, limit: number, prefix: Prefix): number {
  const from = start + prefix.bytes.length
  if (from + prefix.least > limit) return -1
  for (let index = 2; index < prefix.bytes.length; index += 1)
    if (bytes[start + index] !== prefix.bytes[index]) return -1
  if (!hasVariety(bytes, from, from + prefix.least)) return -1
  let end = from
  const most = Math.min(limit, from + prefix.most)
  while (end < most && prefix.alphabet[bytes[end] as number] === 1) end += 1
  // Where the length is open, more of the same is a longer token, and looked at once.
  if (prefix.least === prefix.most && end < limit && isWord(bytes[end])) return -1
  // A sentence's own sign is none of the token's.
  while (end > from && !isWord(bytes[end - 1]) && bytes[end - 1] !== 0x3d) end -= 1
  return end - from >= prefix.least ? end : -1
}

/** `ghp_xxxxxxxx…` stands in documentation. */
function hasVariety(bytes: Uint8Array, start: number, end: number): boolean {
  const seen = new Set<number>()
  for (let index = start; index < end && seen.size < placeholderVariety; index += 1)
    seen.add(bytes[index] as number)
  return seen.size >= placeholderVariety
}

const headerMax = 2048

/** RFC 7519: a header that is base64url of a JSON object with `alg` (and RFC 7516: five parts). Else -1. */
export function jwt(bytes: Uint8Array, start: number, limit: number): number {
  const headerEnd = runEnd(bytes, start, Math.min(limit, start + headerMax))
  if (bytes[headerEnd] !== 0x2e || headerEnd - start < 16 || !isHeader(bytes, start, headerEnd)) return -1
  let end = runEnd(bytes, headerEnd + 1, limit)
  // JWE with a key of its own leaves the second part empty, alg none the last.
  if (end === headerEnd + 1 && bytes[end] !== 0x2e) return -1
  for (let part = 2; part < 5 && end < limit && bytes[end] === 0x2e; part += 1) {
    const next = runEnd(bytes, end + 1, limit)
    if (part > 2 && next === end + 1) break
    end = next
  }
  return end
}

function isHeader(bytes: Uint8Array, start: number, end: number): boolean {
  try {
    const header: unknown = JSON.parse(Buffer.from(text(bytes, start, end), 'base64url').toString())
    return typeof header === 'object' && header !== null && 'alg' in header
  } catch {
    return false
  }
}

function runEnd(bytes: Uint8Array, start: number, limit: number): number {
  let end = start
  while (end < limit && url[bytes[end] as number] === 1) end += 1
  return end
}

const begin = Buffer.from('-----BEGIN ')
const labelMax = 64

/** RFC 7468, OpenSSH's and PGP's private keys from the first hyphen on; to the end of the text where none closes it. */
export function privateKey(bytes: Uint8Array, start: number, limit: number): Span | undefined {
  for (let index = 0; index < begin.length; index += 1)
    if (bytes[start + index] !== begin[index]) return undefined
  if (start + begin.length >= limit) return undefined
  const label = /^[A-Z0-9 ]{0,48}PRIVATE KEY( BLOCK)?-----/.exec(
    text(bytes, start + begin.length, Math.min(limit, start + begin.length + labelMax)),
  )
  if (label === null) return undefined
  const closing = Buffer.from(`-----END ${label[0]}`)
  const found = Buffer.from(bytes.buffer, bytes.byteOffset, limit).indexOf(closing, start + begin.length)
  return { kind: 'private-key', start, end: found === -1 ? limit : found + closing.length }
}

function text(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}

function prefix(text: string, alphabet: Uint8Array, least: number, most: number): Prefix {
  return { bytes: Buffer.from(text), alphabet, least, most }
}

function same(
  texts: readonly string[],
  alphabet: Uint8Array,
  least: number,
  most: number,
): readonly Prefix[] {
  return texts.map((text) => prefix(text, alphabet, least, most))
}

function alphabetOf(pattern: RegExp): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) =>
    byte < 128 && pattern.test(String.fromCharCode(byte)) ? 1 : 0,
  )
}

function indexed(): readonly (readonly Prefix[] | undefined)[] {
  const index: Prefix[][] = new Array(65_536)
  for (const one of prefixes.toSorted((left, right) => right.bytes.length - left.bytes.length)) {
    const head = headOf(one.bytes, 0)
    index[head] = [...(index[head] ?? []), one]
  }
  return index
}

function headOf(bytes: Uint8Array, start: number): number {
  return ((bytes[start] as number) << 8) | (bytes[start + 1] ?? 0)
}
