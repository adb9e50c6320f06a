#!/usr/bin/env node
/**
 * Starts the command line with the Node that the project pins, whatever Node called it: this one where it is new enough to
 * run the source as it is, or else the pinned one, which gets the terminal and the signals. No dependency, no syntax that
 * an old Node does not know.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const main = join(here, '..', 'src', 'main.ts')
const root = join(here, '..', '..', '..')
const pinned = join(root, 'node_modules', '.bin', 'node')

if (Number(process.versions.node.split('.')[0]) >= 24) await import(main)
else if (existsSync(pinned)) runBy(pinned)
else fail(`it needs Node 24 or later, this is ${process.versions.node}; or run npm ci in ${root}`)

function runBy(node) {
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
  // The terminal sends Ctrl-C to both; what runs decides what it means.
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => fail(`${node} could not be run: ${error.message}`))
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 1)))
}

function fail(message) {
  console.error(`portcullis: ${message}`)
  process.exit(5)
}
