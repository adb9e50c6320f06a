/**
 * One agent a directory. The lock is one the kernel holds for a process and lets go of at its death, reached through
 * SQLite since Node has no call of its own for it; so there is no stale lock to judge. Refuses to wait.
 */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { RecorderError } from './error.ts'

/** Returns what lets go. Throws RecorderError('locked'). */
export function lockForAgent(recordDir: string): () => void {
  const path = join(recordDir, '.agent.lock')
  const db = new DatabaseSync(path, { timeout: 0 })
  try {
    db.exec('begin exclusive')
  } catch (cause) {
    db.close()
    throw new RecorderError(
      'locked',
      `another agent ships from ${recordDir} (${path} is locked): a data directory belongs to one proxy replica`,
      { cause },
    )
  }
  return () => db.close()
}
