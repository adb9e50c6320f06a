import assert from 'node:assert/strict'
import { test } from 'node:test'
import { visibleLine, visibleText } from './visible.ts'

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

test('a name does not look like another: variation selectors, joiners and spaces that are letters to a server', () => {
  assert.equal(
    visibleText('a\ufe0f b\u034f c\u{e0100} d\u00a0 e\u3000 f\u2800 g\u17b4'),
    'a⟨U+FE0F⟩ b⟨U+034F⟩ c⟨U+E0100⟩ d⟨U+00A0⟩ e⟨U+3000⟩ f⟨U+2800⟩ g⟨U+17B4⟩',
  )
})

test('a value of several lines is one line, so that it looks like no second one', () => {
  assert.equal(visibleLine("'1'\r\n$2 = '5'"), "'1'⟨U+000A⟩$2 = '5'")
})
