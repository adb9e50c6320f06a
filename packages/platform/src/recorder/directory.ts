/**
 * A recorder's directory: made whole or not at all, with a card that says whose it is. Names that begin with a dot are
 * on their way in or out and nobody's to read.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RecorderError } from './error.ts'
import { isAlive, type ProcessLife, thisProcess } from './life.ts'
import { positionFileBytes, positionFileName } from './position.ts'
import { syncDirectory } from './segment-file.ts'

export interface RecorderCard {
  readonly recorder: string
  readonly proxy: { readonly name: string; readonly version: string }
  readonly life: ProcessLife
}

const cardName = 'recorder.json'
const staleMs = 10 * 60_000

/** Unique for each life of each process, and later ones sort after earlier ones. */
export function newRecorderId(nowUs: number): string {
  const time = Math.floor(nowUs / 1000)
    .toString(36)
    .padStart(9, '0')
  return `${time}-${randomBytes(5).toString('hex')}`
}

export function createRecorderDirectory(
  recordDir: string,
  recorder: string,
  proxy: RecorderCard['proxy'],
): string {
  mkdirSync(recordDir, { recursive: true, mode: 0o700 })
  const card: RecorderCard = { recorder, proxy, life: thisProcess() }
  const coming = join(recordDir, `.new-${recorder}`)
  const dir = join(recordDir, recorder)
  mkdirSync(coming, { mode: 0o700 })
  writeFileSync(join(coming, cardName), JSON.stringify(card), { mode: 0o600, flush: true })
  // Its room is taken now, so that a full disk cannot keep the agent from noting how far it came.
  writeFileSync(join(coming, positionFileName), Buffer.alloc(positionFileBytes), { mode: 0o600 })
  renameSync(coming, dir)
  syncDirectory(recordDir)
  return dir
}

/** Whether the process that writes here still lives. */
export function isRecorderAlive(dir: string): boolean {
  return isAlive(readCard(dir).life)
}

/** Takes a drained directory away at once; a death in between leaves only what `sweep` removes. */
export function removeRecorderDirectory(recordDir: string, recorder: string): void {
  const going = join(recordDir, `.gone-${recorder}`)
  renameSync(join(recordDir, recorder), going)
  rmSync(going, { recursive: true })
}

/** Keeps a directory with bytes that do not read, for a person, out of everybody's way. */
export function setAsideRecorderDirectory(recordDir: string, recorder: string): void {
  renameSync(join(recordDir, recorder), join(recordDir, `.damaged-${recorder}`))
}

/** Directories of recorders, the oldest first. */
export function listRecorders(recordDir: string): string[] {
  return readdirSync(recordDir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .sort()
}

/** Removes what deaths have left half made or half removed. */
export function sweep(recordDir: string, nowMs: number): void {
  for (const name of readdirSync(recordDir)) {
    const path = join(recordDir, name)
    const stale = name.startsWith('.new-') && nowMs - statSync(path).mtimeMs > staleMs
    if (stale || name.startsWith('.gone-')) rmSync(path, { recursive: true, force: true })
  }
}

export function readCard(dir: string): RecorderCard {
  const path = join(dir, cardName)
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as RecorderCard
  } catch (cause) {
    throw new RecorderError('corrupt', `${path} cannot be read: it says which process writes here`, { cause })
  }
}
