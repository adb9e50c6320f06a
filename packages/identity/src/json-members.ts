/**
 * Whether a JSON text names a member of some object twice. RFC 7515 and 7519 (section 4 of each) let a parser refuse that
 * or take the last: whoever signed it may have looked at the first, so here it is refused.
 */

/** `value` is what JSON.parse made of `text`: it has one member where the text may have named two. */
export function namesTwice(text: string, value: unknown): boolean {
  return colonsOutsideStrings(text) !== membersOf(value)
}

function colonsOutsideStrings(text: string): number {
  let colons = 0
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 0x3a) colons += 1
    if (code !== 0x22) continue
    for (at += 1; at < text.length; at += 1) {
      const inner = text.charCodeAt(at)
      if (inner === 0x5c) at += 1
      else if (inner === 0x22) break
    }
  }
  return colons
}

/** Without recursion: a token of brackets alone may nest as deep as it is long. */
function membersOf(value: unknown): number {
  const open = [value]
  let members = 0
  for (let inner = open.pop(); inner !== undefined; inner = open.pop()) {
    if (typeof inner !== 'object' || inner === null) continue
    const values: unknown[] = Object.values(inner)
    if (!Array.isArray(inner)) members += values.length
    for (const one of values) if (typeof one === 'object' && one !== null) open.push(one)
  }
  return members
}
