/** Which files the project consists of. Git decides, so that what is ignored is never checked. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'

export const root = dirname(import.meta.dirname)

/** Paths relative to the root, with `/`: tracked files, and new ones that are not ignored. */
export function projectFiles(): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const git = spawnSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  const files = git.status === 0 ? git.stdout.split('\0') : walk('')
  return [...new Set(files)].filter((file) => file && existsSync(join(root, file))).sort()
}

/** Without git (an archive, or a clone that belongs to another user): everything but what tools put there. */
function walk(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (!entry.isDirectory()) return entry.isFile() ? [path] : []
    return ['node_modules', '.git', '.portcullis', '.cache', 'secrets'].includes(entry.name) ? [] : walk(path)
  })
}
