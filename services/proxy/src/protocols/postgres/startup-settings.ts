/**
 * The settings that a client asks for in its start-up packet take effect without a command, so nobody decides on them
 * and the trail does not have them. It refuses those that decide who the session is, what it may do, or what code the
 * server loads; they can be set by a statement, which is a command like any other. Pure.
 */
import { settingIsPrivileged } from '@portcullis/sql'

/** The first setting that is not for the start-up, or undefined. `options` are switches of the server (`-c NAME=VALUE`). */
export function refusedSetting(
  parameters: Readonly<Record<string, string>>,
  options: string,
): string | undefined {
  const names = namedSettings({ ...parameters, options })
  return names.find((name) => settingIsPrivileged(name) || !plain.test(name))
}

/** Every setting that the packet's parameters name, those inside `options` in its place. */
export function namedSettings({ options = '', ...parameters }: Readonly<Record<string, string>>): string[] {
  return [...Object.keys(parameters), ...namesOf(words(options))]
}

/** PostgreSQL manual, "Customized Options" among them; a switch that is no setting is none of these. */
const plain = /^[a-z_][a-z0-9_$.]*$/i

/** As the server's own command line: `-c NAME=VALUE`, `-cNAME=VALUE`, `--NAME=VALUE`, a dash in a name for an underscore. */
function namesOf(switches: readonly string[]): string[] {
  const names: string[] = []
  for (let at = 0; at < switches.length; at++) {
    const word = switches[at] as string
    const setting = word === '-c' ? switches[++at] : /^(?:-c|--)(.+)$/s.exec(word)?.[1]
    names.push(setting === undefined ? word : (setting.split('=', 1)[0] as string).replaceAll('-', '_'))
  }
  return names
}

/** White space (C's, not JavaScript's) separates, a backslash takes the next character as it is (pg_split_opts). */
function words(options: string): string[] {
  const pieces = options.matchAll(/(?:\\.|[^ \t\n\v\f\r\\])+/gs)
  return Array.from(pieces, ([word]) => word.replaceAll(/\\(.)/gs, '$1'))
}
