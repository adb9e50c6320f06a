/** What is PEM text by itself, and what is the path of a file with it. */
import { readFileSync } from 'node:fs'

/** Read anew each time, so that a rotated file needs no restart. Throws where it cannot be read. */
export function readPem(textOrPath: string): string {
  return isPem(textOrPath) ? textOrPath : readFileSync(textOrPath, 'utf8')
}

export function isPem(text: string): boolean {
  return /^\s*-----BEGIN [A-Z ]+-----/.test(text)
}
