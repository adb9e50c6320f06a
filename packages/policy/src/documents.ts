/**
 * The policy out of its documents: the file's, and those that the API put, each under a name. All their rules are asked
 * together, and since the most restrictive wins, whatever the order, none can loosen what another restrains. A rule of the
 * API's is called NAME/RULE, so that two documents may use the same word and an event says where to look.
 *
 * Refuses to let a document be forgotten that this version cannot read: what stood under its name stands on, and where
 * nothing did, everything is blocked until it is mended. A gate that left out what it does not understand would wave through.
 */
import { PolicyError } from './errors.ts'
import { type ParsedRule, parsePolicy } from './parse.ts'
import { createPolicy, type Policy } from './policy.ts'

export interface PolicyDocument {
  readonly name: string
  /** YAML. */
  readonly text: string
}

/** What the documents come to; a document's rules may be those of a text before. */
export interface ReadDocument extends PolicyDocument {
  readonly rules: readonly ParsedRule[]
}

/** Reads those that the API put, each time all of them; one that is as it was is not read again. */
export function createDocumentReader(
  onRefused: (name: string, problems: readonly string[]) => void,
): (documents: readonly PolicyDocument[]) => readonly ReadDocument[] {
  let known = new Map<string, { readonly given: string; readonly read: ReadDocument }>()
  return (documents) => {
    known = new Map(
      documents.map(({ name, text }) => {
        const before = known.get(name)
        return [name, before?.given === text ? before : { given: text, read: readOf(name, text, before) }]
      }),
    )
    return Array.from(known.values(), ({ read }) => read)
  }

  function readOf(name: string, text: string, before: { readonly read: ReadDocument } | undefined) {
    try {
      return read(name, text)
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error
      onRefused(name, error.problems)
      return before?.read ?? read(name, blocksAll)
    }
  }
}

const blocksAll = 'rules: [{ name: unreadable, action: block }]'

function read(name: string, text: string): ReadDocument {
  return { name, text, rules: parsePolicy(text, name).rules.map((rule) => named(name, rule)) }
}

function named(document: string, rule: ParsedRule): ParsedRule {
  return { ...rule, name: `${document}/${rule.name}` }
}

export interface PolicyFile {
  /** For messages. */
  readonly file: string
  readonly text: string
}

/** What is in force: the rules of each document, the file's first and without a name, and all of them as one policy. */
export interface WholePolicy {
  readonly documents: readonly ReadDocument[]
  /** Undefined where there is no document. */
  readonly policy: Policy | undefined
}

/** Of a file without a mistake and of the API's documents; the same object as before where nothing has changed. */
export function createPolicyReader(
  onRefused: (name: string, problems: readonly string[]) => void,
): (file: PolicyFile | undefined, documents: readonly PolicyDocument[]) => WholePolicy {
  const readDocuments = createDocumentReader(onRefused)
  let ofFile: ReadDocument | undefined
  let whole: WholePolicy = { documents: [], policy: undefined }
  return (file, given) => {
    if (file?.text !== ofFile?.text)
      ofFile = file && { name: '', text: file.text, rules: parsePolicy(file.text, file.file).rules }
    const documents = [...(ofFile ? [ofFile] : []), ...readDocuments(given)]
    const isSame = (one: ReadDocument, at: number) => one.rules === whole.documents[at]?.rules
    if (documents.length === whole.documents.length && documents.every(isSame)) return whole
    const rules = documents.flatMap((document) => document.rules)
    whole = { documents, policy: documents.length === 0 ? undefined : createPolicy(rules) }
    return whole
  }
}
