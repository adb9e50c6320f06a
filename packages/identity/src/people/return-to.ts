/**
 * Where to send a person after signing in. Pure. Refuses to leave this origin: an open redirect here lends our name to
 * a phishing page right after a real sign-in.
 */

const charsMax = 1024

/** `wanted` where it is a path (with query and fragment) on this origin, else `/`. */
export function safeReturnTo(wanted: string): string {
  // Browsers read `\` as `/` and drop tabs and line breaks: `/\evil.example` and `/<TAB>/evil.example` leave the origin.
  if (wanted.length > charsMax || !/^\/(?![/\\])[\x21-\x7e]*$/.test(wanted) || wanted.includes('\\'))
    return '/'
  const base = 'https://here.invalid'
  const url = URL.parse(wanted, base)
  // `/.//evil.example` normalises to `//evil.example`.
  if (url?.origin !== base || url.pathname.startsWith('//')) return '/'
  return url.pathname + url.search + url.hash
}
