/**
 * The subset of XML that SAML messages need, read strictly into a small tree, before any other parser sees the text.
 * Refuses whatever parsers are known to disagree on or to blow up with: a document type and entities, comments, CDATA,
 * processing instructions, anything not well-formed, and more depth, elements or attributes than a response has.
 * What this accepts, every parser reads alike. Source: XML 1.0 (fifth edition), Namespaces in XML 1.0.
 */
import { SignInError } from './errors.ts'

export interface XmlElement {
  /** Empty where it has none. */
  readonly namespace: string
  readonly name: string
  /** By local name; those in a namespace are `{namespace}name`. */
  readonly attributes: ReadonlyMap<string, string>
  readonly children: readonly XmlElement[]
  /** All characters directly inside, in order. */
  readonly text: string
}

export interface XmlLimits {
  readonly depthMax: number
  readonly elementsMax: number
  /** Skips comments instead of refusing them: for documents that an administrator chose, never for an answer. */
  readonly comments?: 'skip'
}

const limitsOfMessages: XmlLimits = { depthMax: 32, elementsMax: 2500 }
const attributesMax = 64
const xmlNamespace = 'http://www.w3.org/XML/1998/namespace'
const declaration =
  /^<\?xml version=(["'])1\.0\1(?: encoding=(["'])[Uu][Tt][Ff]-8\2)?(?: standalone=(["'])(?:yes|no)\3)? ?\?>/
const nameForm = /[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?/y
const attributeForm =
  /[ \t\n]+([A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?)[ \t\n]*=[ \t\n]*(?:"([^"<]*)"|'([^'<]*)')/y
const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

type Open = {
  tag: string
  element: { -readonly [K in keyof XmlElement]: XmlElement[K] } & { children: XmlElement[] }
  scope: ReadonlyMap<string, string>
}

/** The root. @throws SignInError forbidden_xml, malformed, too_large; no message holds any of the text. */
export function parseXml(text: string, limits: XmlLimits = limitsOfMessages): XmlElement {
  refuseForbidden(text, limits)
  // XML 1.0, 2.11: line ends are one character before anything else.
  const source = text.replace(declaration, '').replace(/\r\n?/g, '\n')
  const open: Open[] = []
  let root: XmlElement | undefined
  let elements = 0
  let at = 0
  while (at < source.length) {
    const next = source.indexOf('<', at)
    const end = next < 0 ? source.length : next
    if (end > at) addText(open.at(-1), source.slice(at, end))
    if (next < 0) break
    if (source.startsWith('<!--', next)) {
      at = afterComment(source, next)
    } else if (source[next + 1] === '/') {
      at = closeTag(source, next, open)
    } else {
      if (root && open.length === 0) throw malformed('there is more than one root')
      if (++elements > limits.elementsMax) throw new SignInError('too_large', 'the XML has too many elements')
      if (open.length >= limits.depthMax) throw new SignInError('too_large', 'the XML is nested too deeply')
      const started = startTag(source, next, open.at(-1))
      root ??= started.open.element
      open.at(-1)?.element.children.push(started.open.element)
      if (!started.isEmpty) open.push(started.open)
      at = started.at
    }
  }
  if (open.length > 0 || !root) throw malformed('an element is not closed, or there is none')
  return root
}

function refuseForbidden(text: string, limits: XmlLimits): void {
  const body = text.replace(declaration, '')
  if (body.includes('<!DOCTYPE') || body.includes('<!ENTITY') || /<!(?!--|\[CDATA\[)/.test(body))
    throw new SignInError('forbidden_xml', 'the XML has a document type or declares entities')
  if (body.includes('<![CDATA[')) throw new SignInError('forbidden_xml', 'the XML has a CDATA section')
  if (body.includes('<?')) throw new SignInError('forbidden_xml', 'the XML has a processing instruction')
  if (body.includes('<!--') && limits.comments !== 'skip')
    throw new SignInError('forbidden_xml', 'the XML has a comment')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those that XML 1.0 forbids.
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(text) || !text.isWellFormed())
    throw malformed('there are characters that XML does not allow')
}

function afterComment(source: string, from: number): number {
  const end = source.indexOf('--', from + 4)
  if (end < 0 || source[end + 2] !== '>') throw malformed('a comment is not well-formed')
  return end + 3
}

function closeTag(source: string, from: number, open: Open[]): number {
  const current = open.pop()
  const end = source.indexOf('>', from)
  const name = source.slice(from + 2, end)
  // Anchored at its start: cut off from the end, a long run of spaces would be walked once for each of them.
  const fits = current && end >= 0 && name.startsWith(current.tag)
  if (!fits || !/^[ \t\n]*$/.test(name.slice(current.tag.length))) throw malformed('an end tag does not fit')
  return end + 1
}

function startTag(source: string, from: number, parent: Open | undefined) {
  nameForm.lastIndex = from + 1
  const tag = nameForm.exec(source)?.[0]
  if (tag === undefined) throw malformed('a tag has no name')
  let at = nameForm.lastIndex
  const raw = new Map<string, string>()
  for (attributeForm.lastIndex = at; ; ) {
    const match = attributeForm.exec(source)
    if (!match) break
    const name = match[1] ?? ''
    if (raw.has(name)) throw malformed('an attribute stands twice')
    if (raw.size >= attributesMax) throw new SignInError('too_large', 'an element has too many attributes')
    raw.set(name, decoded((match[2] ?? match[3] ?? '').replace(/[\t\n]/g, ' ')))
    at = attributeForm.lastIndex
  }
  const ending = /[ \t\n]*(\/?)>/y
  ending.lastIndex = at
  const end = ending.exec(source)
  if (!end) throw malformed('a tag is not well-formed')
  const scope = scopeOf(raw, parent?.scope ?? new Map([['xml', xmlNamespace]]))
  const [prefix, name] = split(tag)
  const namespace = prefix === '' ? (scope.get('') ?? '') : inScope(scope, prefix)
  const element = { namespace, name, attributes: attributesOf(raw, scope), children: [], text: '' }
  return { open: { tag, element, scope }, isEmpty: end[1] === '/', at: ending.lastIndex }
}

function scopeOf(
  raw: ReadonlyMap<string, string>,
  outer: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const declared = [...raw].filter(([name]) => name === 'xmlns' || name.startsWith('xmlns:'))
  if (declared.length === 0) return outer
  const scope = new Map(outer)
  for (const [name, uri] of declared) {
    const prefix = name.slice(6)
    if (prefix === 'xml' || prefix === 'xmlns' || (prefix !== '' && uri === ''))
      throw malformed('a namespace is declared that must not be')
    scope.set(prefix, uri)
  }
  return scope
}

function attributesOf(
  raw: ReadonlyMap<string, string>,
  scope: ReadonlyMap<string, string>,
): Map<string, string> {
  const attributes = new Map<string, string>()
  for (const [full, value] of raw) {
    if (full === 'xmlns' || full.startsWith('xmlns:')) continue
    const [prefix, name] = split(full)
    const key = prefix === '' ? name : `{${inScope(scope, prefix)}}${name}`
    // Canonicalisation by xml-crypto leaves out whatever begins like this.
    if (full.startsWith('xmlns') || attributes.has(key))
      throw malformed('an attribute stands twice, or is misnamed')
    attributes.set(key, value)
  }
  return attributes
}

function inScope(scope: ReadonlyMap<string, string>, prefix: string): string {
  const uri = scope.get(prefix)
  if (uri === undefined) throw malformed('a prefix is not declared')
  return uri
}

function split(name: string): [prefix: string, local: string] {
  const colon = name.indexOf(':')
  return colon < 0 ? ['', name] : [name.slice(0, colon), name.slice(colon + 1)]
}

function addText(open: Open | undefined, raw: string): void {
  if (raw.includes(']]>')) throw malformed('there is ]]> in a text')
  if (open) open.element.text += decoded(raw)
  else if (!/^[ \t\n]*$/.test(raw)) throw malformed('there is text outside of the root')
}

function decoded(raw: string): string {
  if (!raw.includes('&')) return raw
  return raw.replace(/&([^;&]{0,12});?/g, (whole, reference: string) => {
    if (!whole.endsWith(';')) throw malformed('a reference is not closed')
    const known = Object.hasOwn(entities, reference) ? entities[reference] : undefined
    if (known !== undefined) return known
    const number = /^#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}))$/.exec(reference)
    if (!number)
      throw new SignInError('forbidden_xml', 'the XML uses an entity that XML itself does not have')
    const code = number[1] ? Number.parseInt(number[1], 16) : Number(number[2])
    const isAllowed =
      code === 9 ||
      code === 10 ||
      code === 13 ||
      (code >= 0x20 && code <= 0xd7ff) ||
      (code >= 0xe000 && code <= 0xfffd) ||
      (code >= 0x10000 && code <= 0x10ffff)
    if (!isAllowed) throw malformed('a character is referred to that XML does not allow')
    return String.fromCodePoint(code)
  })
}

function malformed(why: string): SignInError {
  return new SignInError('malformed', `the XML is not well-formed: ${why}`)
}
