import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodingIsAsciiSafe } from './index.ts'

test('encodings whose trail bytes may be ASCII are not safe, under any of their names', () => {
  for (const name of [
    'SJIS',
    'Shift_JIS',
    'mskanji',
    'WIN932',
    'Windows-932',
    'SHIFT_JIS_2004',
    'BIG5',
    'win950',
    'GBK',
    'windows936',
    'UHC',
    'WIN949',
    'GB18030',
    'JOHAB',
    'EBCDIC',
    '',
  ])
    assert.equal(encodingIsAsciiSafe(name), false, name)
})

test('encodings that keep ASCII bytes for ASCII are safe', () => {
  for (const name of [
    'UTF8',
    'utf-8',
    'unicode',
    'SQL_ASCII',
    'LATIN1',
    'latin10',
    'ISO_8859_5',
    'WIN1252',
    'windows-1251',
    'KOI8R',
    'EUC_JP',
    'EUC_JIS_2004',
    'MULE_INTERNAL',
  ])
    assert.equal(encodingIsAsciiSafe(name), true, name)
})
