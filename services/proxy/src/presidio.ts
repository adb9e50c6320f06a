/**
 * Microsoft Presidio's analyzer (https://microsoft.github.io/presidio/api-docs/api-docs.html): what it finds in texts, by its
 * HTTP interface `POST /analyze`. Refuses to let it hold sessions up without bound: so many requests at once, so many that
 * wait, so long each. What it does not answer is not found to be harmless.
 */
import type { RemoteFinds, Span } from '@portcullis/kernel'
import { z } from 'zod'

export interface PresidioOptions {
  /** Of the analyzer; `analyze` is asked below it. */
  readonly url: string
  readonly language: string
  /** From 0 to 1; what it is less sure of is no find. */
  readonly scoreMin: number
  readonly timeoutMs: number
  readonly requestsMax: number
  readonly waitingMax: number
  /** A text that it does not answer for: its whole value is masked, or the command is refused. */
  readonly onFailure: 'mask' | 'refuse'
  readonly onError: (error: unknown) => void
}

/** For a list of its entities, such as PERSON and LOCATION. */
export type AskPresidio = (entities: readonly string[]) => RemoteFinds

/** Texts whose answer is kept, and their characters. */
const keptTextsMax = 10_000
const keptCharsMax = 4_194_304

export function createPresidio(options: PresidioOptions): AskPresidio {
  const enter = createDoor(options.requestsMax, options.waitingMax)
  return (entities) => {
    const known = createKept()
    return {
      refuses: options.onFailure === 'refuse',
      finds: (text) => (text.trim() === '' ? none : known.get(text)),
      async ask(texts) {
        const leave = await enter()
        try {
          const answers = await analyze(options, entities, texts)
          for (const [index, text] of texts.entries()) known.set(text, spansOf(text, answers[index] ?? []))
        } catch (error) {
          options.onError(error)
          throw error
        } finally {
          leave()
        }
      },
    }
  }
}

const none: readonly Span[] = []

const answer = z.array(
  z.array(
    z.object({
      entity_type: z.string(),
      start: z.number().int().nonnegative(),
      end: z.number().int().nonnegative(),
      score: z.number(),
    }),
  ),
)

type Found = z.output<typeof answer>[number]

async function analyze(
  { url, language, scoreMin, timeoutMs }: PresidioOptions,
  entities: readonly string[],
  texts: readonly string[],
): Promise<readonly Found[]> {
  const response = await fetch(new URL('analyze', url.endsWith('/') ? url : `${url}/`), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ text: texts, language, entities, score_threshold: scoreMin }),
    signal: AbortSignal.timeout(timeoutMs),
    redirect: 'error',
  })
  if (!response.ok) throw new Error(`the analyzer answers ${response.status}`)
  const found = answer.parse(await response.json())
  if (found.length !== texts.length)
    throw new Error(`the analyzer answers ${found.length} of ${texts.length} texts`)
  return found.map((one) => one.filter(({ score }) => score >= scoreMin))
}

/** Its places count characters as Python does, code point by code point; ours are bytes. */
function spansOf(text: string, found: Found): readonly Span[] {
  if (found.length === 0) return none
  const offsets = [0]
  for (const sign of text) offsets.push((offsets.at(-1) as number) + Buffer.byteLength(sign))
  const last = offsets.length - 1
  return found
    .map(({ entity_type, start, end }) => ({
      kind: entity_type.toLowerCase().replaceAll('_', '-'),
      start: offsets[Math.min(start, last)] as number,
      end: offsets[Math.min(end, last)] as number,
    }))
    .filter(({ start, end }) => start < end)
    .sort((one, other) => one.start - other.start)
}

/** Lets so many in at once and so many wait. */
function createDoor(insideMax: number, waitingMax: number): () => Promise<() => void> {
  const waiting: (() => void)[] = []
  let inside = 0
  const leave = () => {
    const next = waiting.shift()
    if (next) next()
    else inside--
  }
  return async () => {
    if (inside < insideMax) inside++
    else {
      if (waiting.length >= waitingMax) throw new Error('too many requests wait for the analyzer')
      await new Promise<void>((resolve) => waiting.push(resolve))
    }
    return leave
  }
}

/** The latest texts with what was found in them: the same value comes again and again. */
function createKept() {
  const kept = new Map<string, readonly Span[]>()
  let chars = 0
  return {
    get: (text: string) => kept.get(text),
    set(text: string, spans: readonly Span[]) {
      if (!kept.has(text)) chars += text.length
      kept.set(text, spans)
      for (const [oldest] of kept) {
        if (kept.size <= keptTextsMax && chars <= keptCharsMax) return
        kept.delete(oldest)
        chars -= oldest.length
      }
    },
  }
}
