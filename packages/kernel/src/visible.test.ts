import assert from 'node:assert/strict'
import { test } from 'node:test'
import { visibleText } from './visible.ts'

test('line ends of Windows are line ends, a lone carriage return is not', () => {
  assert.equal(visibleText('a\r\nb\rc'), 'a\nb⟨U+000D⟩c')
})

test('what does not show, or turns what does, stands there as its code; all else stays', () => {
  assert.equal(visibleText("select 'Größe 表 👩‍💻'\n\tfrom t"), "select 'Größe 表 👩⟨U+200D⟩💻'\n\tfrom t")
  assert.equal(
    visibleText('a\u202eb\u2066c\u200bd\u0000e\rf\u2028g'),
    'a⟨U+202E⟩b⟨U+2066⟩c⟨U+200B⟩d⟨U+0000⟩e⟨U+000D⟩f⟨U+2028⟩g',
  )
  assert.equal(visibleText('x\ud800y'), 'x⟨U+D800⟩y')
})
