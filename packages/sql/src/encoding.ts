// Whether bytes can be read as ASCII where they look like it. Refuses to transcode.

/** PostgreSQL client encodings in which the second byte of a character may be an ASCII byte, a quote or backslash among them. */
const unsafe = new Set(['BIG5', 'GB18030', 'GBK', 'JOHAB', 'SHIFTJIS2004', 'SJIS', 'UHC'])

// As pg_char_to_encoding takes them: other names of the same encodings.
const aliases: Readonly<Record<string, string>> = {
  mskanji: 'SJIS',
  shiftjis: 'SJIS',
  win932: 'SJIS',
  windows932: 'SJIS',
  win936: 'GBK',
  windows936: 'GBK',
  win949: 'UHC',
  windows949: 'UHC',
  win950: 'BIG5',
  windows950: 'BIG5',
}

/**
 * Takes any spelling that PostgreSQL takes (`shift-jis`, `Win932`). True for UTF8 and every encoding whose characters
 * beyond ASCII are made of bytes >= 0x80 only; an unknown name is not safe.
 */
export function encodingIsAsciiSafe(name: string): boolean {
  const folded = name.toLowerCase().replace(/[^a-z0-9]/g, '')
  const known = aliases[folded] ?? folded.toUpperCase()
  return !unsafe.has(known) && safe.test(known)
}

const safe =
  /^(UTF8|UNICODE|SQLASCII|EUC(JP|CN|KR|TW|JIS2004)|MULEINTERNAL|LATIN([1-9]|10)|ISO8859\d{1,2}|WIN\d{3,4}|WINDOWS\d{3,4}|KOI8(R|U)?|ABC|ALT|TCVN\d*|VSCII|WIN)$/
