// What a credential looks like: names that read like a secret's, contents that give one away, functions that are handed
// one. Every pattern is linear in the text, since a client chooses it. Refuses to cut: that is redact.ts.

/** Without one of these in a text nothing in it can be a credential: one look before any work. */
export const trigger =
  /pass|pwd|secret|token|key|credential|connection|:\/\/|crypt|digest|hmac|pgp_|dblink|eyJ|scram|u&["']|(?<![a-z0-9_$'])e'|_auth/i

/** Whether a literal set to a name like this is a credential. Takes the name as PostgreSQL folds it. */
export function namesSecret(name: string): boolean {
  return name.length <= 128 && secretName.test(name)
}

/** Whether all literals handed to this function are taken for credentials. */
export function takesSecret(functionName: string): boolean {
  return secretCalls.test(functionName)
}

/** Whether a literal, comment or name with this content gives a credential away by itself. */
export function tellsCredential(content: string): boolean {
  return content.length > 5 && (credential.test(content) || holdsUriPassword(content))
}

const secretName =
  /pass(wo?r?d|phrase|code|key)?(_?hash)?$|passw|pwd|secret|credential|(^|[^a-z])(api|access|private|auth|bearer|session|refresh|signing|encryption)[_.-]?(key|token)|(^|[_.])token$/

const secretCalls =
  /^(dblink(_connect(_u)?|_exec|_open|_send_query)?|crypt|hmac|digest|(raw_)?(en|de)crypt(_iv)?|pgp_(sym|pub)_(en|de)crypt(_bytea)?)$/

const credential = new RegExp(
  [
    // password=…, "password": …, password 'x', PGPASSWORD=…, pwd:…
    String.raw`(pass(wo?r?d|phrase|wd)?|pwd|secret|(api|access|private|auth)[_-]?(key|token))["']{0,2}\s{0,8}(=>|:=|=|:(?!:)|\s(to\s{1,8})?(e|u&)?['$])`,
    '[?&](pass(word|wd)?|pwd|token|secret)=',
    // "token": "…" of a JSON value.
    String.raw`"[a-z_]{0,16}token"\s{0,8}:\s{0,8}"`,
    String.raw`(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.`,
    '-----BEGIN [A-Z ]{0,40}PRIVATE KEY',
    String.raw`SCRAM-SHA-256\$\d`,
  ].join('|'),
  'i',
)

/** `scheme://user:password@host`, in one pass however often `://` stands there. */
function holdsUriPassword(content: string): boolean {
  let at = content.indexOf('://')
  while (at !== -1) {
    at += 3
    let colon = false
    for (; at < content.length; at += 1) {
      const code = content.charCodeAt(at)
      if (code === 0x40 && colon) return true
      if (code === 0x40 || code <= 0x20) break
      if (code === 0x3a && !content.startsWith('://', at)) colon = true
    }
    at = content.indexOf('://', at)
  }
  return false
}
