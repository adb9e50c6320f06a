/** The strict reader of XML, against another parser where both take a text. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DOMParser } from '@xmldom/xmldom'
import fc from 'fast-check'
import { parseXml, type XmlElement } from './xml.ts'

const code = (text: string): string => {
  try {
    parseXml(text)
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'accepted'
}

test('namespaces, attributes and references are read as XML says', () => {
  const root = parseXml(
    `<?xml version="1.0" encoding="UTF-8"?>\n<p:a xmlns:p="urn:p" xmlns="urn:d" x='1 &lt; "2"' p:x="&#x41;&#66;"><b xmlns=""/>t&amp;\r\n<c>]] &gt;</c> u</p:a>\n`,
  )
  assert.deepEqual([root.namespace, root.name, root.text], ['urn:p', 'a', 't&\n u'])
  assert.deepEqual(
    [...root.attributes],
    [
      ['x', '1 < "2"'],
      ['{urn:p}x', 'AB'],
    ],
  )
  assert.deepEqual(
    root.children.map(({ namespace, name, text }) => [namespace, name, text]),
    [
      ['', 'b', ''],
      ['urn:d', 'c', ']] >'],
    ],
  )
})

/** Each of them is read before any signature is looked at. An end tag with spaces took a second for 48 KB, a minute for 384. */
test('nothing that a stranger can write takes long to refuse', () => {
  const long = ' '.repeat(380_000)
  const texts = [
    ...[`<a></a${long}x>`, `<a${long}>`, `<a b${long}>`, `<a b=${long}>`, `<a/>${long}x`],
    ...[
      `<?xml version="1.0"${long}?><a/>`,
      `<a>${'&'.repeat(380_000)}</a>`,
      `<a>${'&#x'.repeat(120_000)}</a>`,
    ],
    ...[`<a ${'b'.repeat(380_000)}>`, '<'.repeat(380_000), `<a>${'</a'.repeat(120_000)}`],
  ]
  for (const text of texts) {
    const before = process.cpuUsage()
    assert.notEqual(code(text), 'accepted')
    const cpuMs = process.cpuUsage(before).user / 1000
    assert.ok(cpuMs < 500, `${text.slice(0, 8)} took ${cpuMs} ms`)
  }
})

test('what parsers disagree on is no XML here', () => {
  const refused: Record<string, readonly string[]> = {
    forbidden_xml: [
      '<!DOCTYPE a><a/>',
      '<!doctype a><a/>',
      '<a><!ENTITY x "y"></a>',
      '<a><!-- x --></a>',
      '<a><![CDATA[x]]></a>',
      '<a><?x?></a>',
      '<?xml version="1.1"?><a/>',
      '<?xml version="1.0" encoding="latin1"?><a/>',
      ' <?xml version="1.0"?><a/>',
      '<a>&nbsp;</a>',
      '<a>&x;</a>',
      '<a>&toString;</a>',
    ],
    malformed: [
      '',
      'x',
      '<a>',
      '</a>',
      '<a></b>',
      '<a/><b/>',
      '<a/>x',
      'x<a/>',
      '\uFEFF\u00A0<a/>',
      '<a b="1" b="2"/>',
      '<a b=1/>',
      '<a b/>',
      '<a b="<"/>',
      '<a b="1"c="2"/>',
      '< a/>',
      '<a',
      '<a>&</a>',
      '<a>&lt</a>',
      '<a>&#0;</a>',
      '<a>&#xD800;</a>',
      '<a>&#x110000;</a>',
      '<a>]]></a>',
      '<p:a/>',
      '<a p:b=""/>',
      '<a xmlns:p=""/>',
      '<a xmlns:xml="x"/>',
      '<a xmlns:p="u" xmlns:q="u" p:x="" q:x=""/>',
      '<a>\u0001</a>',
      '<a>\ud800</a>',
      '<a xmlnsx="1"/>',
      '<a:b:c/>',
      '<a\u00A0b="1"/>',
      '<a></a\u00A0>',
      '<1/>',
    ],
  }
  for (const [expected, texts] of Object.entries(refused))
    for (const text of texts) assert.equal(code(text), expected, JSON.stringify(text))
})

test('a comment may stand in what an administrator chose', () => {
  const limits = { depthMax: 9, elementsMax: 9, comments: 'skip' } as const
  assert.equal(parseXml('<!-- x --><a>b<!-- <c> -->d</a>', limits).text, 'bd')
  for (const text of ['<a><!-- -- --></a>', '<a><!-- </a>', '<!DOCTYPE a><a/>'])
    assert.throws(() => parseXml(text, limits))
})

test('whatever it accepts, the parser behind the signature check reads alike', () => {
  const piece = fc.constantFrom(
    ...[
      '<a>',
      '</a>',
      '<b/>',
      '<p:c xmlns:p="u" p:d="1">',
      '</p:c>',
      '<e f="&lt;&#10;">',
      '</e>',
      'x',
      '&amp;',
      '\r\n',
      ' ',
      '"',
      "'",
      '>',
    ],
    ...['<!---->', ']]', '<a xmlns="u">', '&#x20AC;', '\u00e4', '<', '&', '=', '/'],
  )
  let accepted = 0
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
      const text = `<r>${parts.join('')}</r>`
      let own: XmlElement
      try {
        own = parseXml(text)
      } catch {
        return
      }
      accepted += 1
      const other = new DOMParser({ errorHandler: () => {} }).parseFromString(
        text.replace(/\r\n?/g, '\n'),
        'text/xml',
      )
      assert.deepEqual(plain(own), plainOther(other.documentElement), text)
    }),
    { numRuns: 20_000 },
  )
  assert.ok(accepted > 500, `${accepted} were accepted`)
})

type Plain = readonly [string, string, string, readonly string[], readonly Plain[]]

const plain = (one: XmlElement): Plain => [
  one.namespace,
  one.name,
  one.text,
  [...one.attributes].map(([name, value]) => `${name}=${value}`),
  one.children.map(plain),
]

function plainOther(element: Element): Plain {
  const nodes = Array.from({ length: element.childNodes.length }, (_, index) =>
    element.childNodes.item(index),
  )
  const attributes = Array.from({ length: element.attributes.length }, (_, index) =>
    element.attributes.item(index),
  )
  return [
    element.namespaceURI ?? '',
    element.localName,
    nodes
      .filter(({ nodeType }) => nodeType === 3)
      .map(({ nodeValue }) => nodeValue)
      .join(''),
    attributes.flatMap((one) =>
      !one || one.name.startsWith('xmlns')
        ? []
        : [`${one.namespaceURI ? `{${one.namespaceURI}}` : ''}${one.localName}=${one.value}`],
    ),
    nodes.filter(({ nodeType }) => nodeType === 1).map((node) => plainOther(node as Element)),
  ]
}
