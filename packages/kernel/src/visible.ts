/**
 * Text of others as a person is to judge it: what does not show, or turns the order of what does, stands there as its code.
 * Line ends and tabs stay. Spaces but the usual one do not: PostgreSQL takes them for letters, so that a name may end in one.
 */
export function visibleText(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(/(?![\n\t ])[\p{Cc}\p{Cf}\p{Z}\p{Co}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800]/gu, (char) => {
      const code = char.codePointAt(0) ?? 0
      return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`
    })
}

/** The same on one line, where another would be taken for a text of its own. */
export function visibleLine(text: string): string {
  return visibleText(text).replaceAll('\n', '⟨U+000A⟩')
}
