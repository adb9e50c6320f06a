/**
 * Finds what tells its kind by itself in a text of UTF-8 bytes: one walk over its words, which looks closer only where a
 * digit, an `@`, five hyphens or the end of a known prefix stands. Linear whatever the text, and allocates nothing
 * where nothing is suspect. Refuses to decode: what is in base64, hex or an escape is not seen, nor digits of other scripts.
 */
import {
  type ContentGroup,
  type ContentKind,
  type ContentSearch,
  contentGroups,
  contentKinds,
} from '@portcullis/kernel'
import type { Detect, Span } from '@portcullis/kernel'
import { at, capitalA, classes, dash, digit, isDigit, isIntroduced, isLetter, isWord } from './bytes.ts'
import { card } from './cards.ts'
import { DigitGroups } from './digit-groups.ts'
import { email } from './email.ts'
import { iban } from './iban.ts'
import {
  brCpf,
  deSteuerId,
  esDni,
  frNir,
  frNirCorsican,
  inAadhaar,
  introductions,
  itCodiceFiscale,
  mayBeLettered,
  nlBsn,
  plPesel,
  sePersonnummer,
  ukNhs,
  ukNino,
  usSsn,
  type VouchedKind,
  type Voucher,
} from './national-ids.ts'
import { createPatternSearch } from './patterns.ts'
import { international, national, parenthesised } from './phone.ts'
import { jwt, key, mayBeKey, privateKey } from './secrets.ts'

/**
 * A kind that is named by itself is found by its bare digits too. What is returned keeps one scratch pad, so it is not to be
 * called while it runs. Throws ExpressionError for a pattern that is none.
 */
export function createDetect({ detect, patterns }: ContentSearch): Detect {
  const named = new Set(contentKinds.filter((kind) => detect.includes(kind)))
  const wanted = detect.flatMap((word): readonly ContentKind[] =>
    isGroup(word) ? contentGroups[word] : [word],
  )
  const scanner = new Scanner(new Set(wanted), named)
  const known: Detect = (bytes, start, end) => scanner.find(bytes, start, end)
  if (Object.keys(patterns).length === 0) return known
  const search = createPatternSearch(patterns)
  return (bytes, start, end) => {
    const spans = known(bytes, start, end)
    const own = search(bytes, start, end)
    return own.length === 0 ? spans : merged([...spans, ...own])
  }
}

function isGroup(word: ContentKind | ContentGroup): word is ContentGroup {
  return Object.hasOwn(contentGroups, word)
}

/** Spans that touch the same bytes become one, of the first's kind. */
export function merged(spans: Span[]): readonly Span[] {
  spans.sort((left, right) => left.start - right.start || right.end - left.end)
  const kept: Span[] = []
  for (const span of spans) {
    const last = kept.at(-1)
    if (last === undefined || span.start >= last.end) kept.push(span)
    else if (span.end > last.end) kept[kept.length - 1] = { ...last, end: span.end }
  }
  return kept
}

const none: readonly Span[] = []

/** Between two looks for a JWT inside one run of its alphabet. */
const jwtStep = 512

class Scanner implements Voucher {
  readonly #wants: Readonly<Record<ContentKind, boolean>>
  readonly #named: ReadonlySet<ContentKind>
  readonly #groups = new DigitGroups()
  #bytes: Uint8Array = new Uint8Array(0)
  #start = 0
  #end = 0
  /** Where the number begins that is looked at. */
  #index = 0
  /** Where to go on when nothing is found at a place. */
  #next = 0
  /** Everything before it is in a span. */
  #covered = 0
  /** Where the last word with a digit ends. */
  #numberEnd = 0
  #jwtFrom = 0

  constructor(wanted: ReadonlySet<ContentKind>, named: ReadonlySet<ContentKind>) {
    this.#named = named
    this.#wants = Object.fromEntries(contentKinds.map((kind) => [kind, wanted.has(kind)])) as Record<
      ContentKind,
      boolean
    >
  }

  find(bytes: Uint8Array, start: number, end: number): readonly Span[] {
    this.#bytes = bytes
    this.#start = start
    this.#end = end
    this.#covered = start
    this.#numberEnd = start - 2
    this.#jwtFrom = start
    let spans: Span[] | undefined
    let index = start
    for (;;) {
      while (index < end && classes[bytes[index] as number] === 0) index += 1
      if (index >= end) return spans ?? none
      this.#next = index + 1
      const span = this.#look(classes[bytes[index] as number] as number, index)
      if (span === undefined || span.start < this.#covered) index = this.#next
      else {
        spans ??= []
        spans.push(span)
        index = this.#covered = span.end
        this.#numberEnd = start - 2
      }
    }
  }

  /** At a byte that is not plain. Sets where to go on. */
  #look(kind: number, index: number): Span | undefined {
    const bytes = this.#bytes
    if (kind === digit) return this.#word(index)
    if (kind === at) return this.#wants.email ? email(bytes, this.#covered, index, this.#end) : undefined
    if (kind === capitalA)
      return index === this.#start || !isWord(bytes[index - 1]) ? this.#secret(index) : undefined
    const next = index + 1 < this.#end ? bytes[index + 1] : 0x20
    if (kind === dash && next === 0x2d)
      return this.#wants['private-key'] ? privateKey(bytes, index, this.#end) : undefined
    // A prefix of letters that ends in a hyphen, an underscore or a point; one with a digit was looked at there.
    const from = this.#wordStart(index)
    return from < index &&
      index !== this.#numberEnd &&
      (isWord(next) || next === 0x2d || next === 0x5f || next === 0x2e)
      ? this.#secret(from)
      : undefined
  }

  /** The word around its first digit. */
  #word(index: number): Span | undefined {
    const bytes = this.#bytes
    const from = this.#wordStart(index)
    let next = index + 1
    let hasLetter = from < index
    for (; next < this.#end; next += 1) {
      if (isDigit(bytes[next])) continue
      if (!isLetter(bytes[next])) break
      hasLetter = true
    }
    this.#next = next
    // A part of a UUID, a decimal number or a chain of groups was looked at from its beginning.
    const isJoined = this.#numberEnd === from - 1 && (bytes[from - 1] === 0x2d || bytes[from - 1] === 0x2e)
    this.#numberEnd = next
    if (!hasLetter) return isJoined ? undefined : this.#number(index)
    const span = this.#secret(from)
    return span !== undefined || isJoined ? span : this.#lettered(from, next)
  }

  #wordStart(index: number): number {
    const bytes = this.#bytes
    let from = index
    while (from > this.#covered && isLetter(bytes[from - 1])) from -= 1
    return from
  }

  #secret(from: number): Span | undefined {
    const bytes = this.#bytes
    if (this.#wants.key && mayBeKey(bytes, from)) {
      const end = key(bytes, from, this.#end)
      if (end !== -1) return { kind: 'key', start: from, end }
    }
    const isJwt = bytes[from] === 0x65 && bytes[from + 1] === 0x79 && bytes[from + 2] === 0x4a
    return isJwt && this.#wants.jwt ? this.#jwt(from) : undefined
  }

  vouches(kind: VouchedKind): boolean {
    return this.#named.has(kind) || isIntroduced(this.#bytes, this.#start, this.#index, introductions[kind])
  }

  #jwt(index: number): Span | undefined {
    const before = this.#bytes[index - 1]
    const isInRun = index > this.#start && (before === 0x2d || before === 0x5f)
    if (isInRun && index < this.#jwtFrom) return undefined
    this.#jwtFrom = index + jwtStep
    return spanOf('jwt', index, jwt(this.#bytes, index, this.#end))
  }

  /** A word of digits: a card, an id or a telephone number may begin here. */
  #number(index: number): Span | undefined {
    const bytes = this.#bytes
    const groups = this.#groups
    this.#index = index
    const before = index > this.#start ? (bytes[index - 1] as number) : 0
    const wantsPhone = this.#wants.phone
    if (wantsPhone && before === 0x2b && !(index - 1 > this.#start && isWord(bytes[index - 2])))
      return spanOf('phone', index - 1, international(bytes, index - 1, this.#end))
    if (wantsPhone && before === 0x28) {
      const span = spanOf('phone', index - 1, parenthesised(bytes, index - 1, this.#end))
      if (span !== undefined) return span
    }
    groups.read(bytes, this.#start, index, this.#end)
    const count = groups.groups === 0 ? 0 : (groups.counts[groups.groups - 1] as number)
    const isSlashed = bytes[index] === 0x30 && count > 1 && bytes[groups.ends[0] as number] === 0x2f
    if (count < 6 && !isSlashed) return this.#lettered(index, index)
    const end = this.#wants.card ? card(groups) : -1
    if (end !== -1) return spanOf('card', index, end)
    return (
      this.#nationalId(index) ??
      this.#lettered(index, index) ??
      (wantsPhone
        ? spanOf('phone', index, national(groups, bytes, this.#start, index, this.#end))
        : undefined)
    )
  }

  #nationalId(index: number): Span | undefined {
    const groups = this.#groups
    const wants = this.#wants
    const first = groups.length(0)
    if (wants['us-ssn'] && (first === 3 || first === 9)) {
      const end = usSsn(groups, this)
      if (end !== -1) return spanOf('us-ssn', index, end)
    }
    if (wants['de-steuer-id'] && (first === 11 || first === 2)) {
      const end = deSteuerId(groups)
      if (end !== -1) return spanOf('de-steuer-id', index, end)
    }
    if (wants['fr-nir'] && (first === 15 || first === 13 || first === 1)) {
      const end = frNir(groups)
      if (end !== -1) return spanOf('fr-nir', index, end)
    }
    if (wants['pl-pesel'] && first === 11) {
      const end = plPesel(groups)
      if (end !== -1) return spanOf('pl-pesel', index, end)
    }
    if (wants['se-personnummer'] && (first === 6 || first === 8 || first === 10 || first === 12)) {
      const end = sePersonnummer(groups, this)
      if (end !== -1) return spanOf('se-personnummer', index, end)
    }
    if (wants['br-cpf'] && (first === 3 || first === 11)) {
      const end = brCpf(groups, this)
      if (end !== -1) return spanOf('br-cpf', index, end)
    }
    if (wants['in-aadhaar'] && (first === 4 || first === 12)) {
      const end = inAadhaar(groups, this)
      if (end !== -1) return spanOf('in-aadhaar', index, end)
    }
    if (wants['uk-nhs'] && (first === 3 || first === 10)) {
      const end = ukNhs(groups, this)
      if (end !== -1) return spanOf('uk-nhs', index, end)
    }
    if (wants['nl-bsn'] && (first === 9 || first === 3 || first === 4)) {
      const end = nlBsn(groups, this)
      if (end !== -1) return spanOf('nl-bsn', index, end)
    }
    return undefined
  }

  /** Numbers with letters. `wordEnd` is `index` for a word of digits alone, whose letters stand apart. */
  #lettered(index: number, wordEnd: number): Span | undefined {
    const bytes = this.#bytes
    const end = this.#end
    const wants = this.#wants
    const length = wordEnd - index
    if (length === 0) return this.#apart(index)
    if (wants.iban && isLetter(bytes[index])) {
      const found = iban(bytes, index, end)
      if (found !== -1) return spanOf('iban', index, found)
    }
    if (!mayBeLettered(length)) return undefined
    if (length === 16 && wants['it-codice-fiscale'] && itCodiceFiscale(bytes, index, wordEnd))
      return spanOf('it-codice-fiscale', index, wordEnd)
    if (length === 15 && wants['fr-nir'] && frNirCorsican(bytes, index, wordEnd))
      return spanOf('fr-nir', index, wordEnd)
    if (length === 9 && wants['es-dni']) {
      const found = esDni(bytes, index, end)
      if (found !== -1) return spanOf('es-dni', index, found)
    }
    return length === 9 && wants['uk-nino'] ? spanOf('uk-nino', index, ukNino(bytes, index, end)) : undefined
  }

  /** `QQ 12 34 56 C`, `12345678-Z`, `X-1234567-L`: the digits were met, the letters stand around them. */
  #apart(index: number): Span | undefined {
    const bytes = this.#bytes
    const before = index - this.#start >= 2 ? bytes[index - 1] : undefined
    if (this.#wants['es-dni']) {
      const isForeign = before === 0x2d && isAlone(bytes, this.#start, index - 2)
      const from = isForeign ? index - 2 : index
      const found = esDni(bytes, from, this.#end)
      if (found !== -1) return spanOf('es-dni', from, found)
    }
    const isPair = index - this.#start >= 3 && before === 0x20 && isLetter(bytes[index - 2])
    if (!this.#wants['uk-nino'] || !isPair || !isDigit(bytes[index + 1])) return undefined
    return isAlone(bytes, this.#start, index - 3)
      ? spanOf('uk-nino', index - 3, ukNino(bytes, index - 3, this.#end))
      : undefined
  }
}

/** Whether no word goes on to the left of this byte. */
function isAlone(bytes: Uint8Array, start: number, index: number): boolean {
  return index === start || !isWord(bytes[index - 1])
}

function spanOf(kind: ContentKind, start: number, end: number): Span | undefined {
  return end === -1 ? undefined : { kind, start, end }
}
