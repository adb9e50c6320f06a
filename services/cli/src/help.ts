/** What `--help` prints. Pure. */
import type { Command } from './command.ts'
import { table } from './table.ts'

export function helpOf({ name, summary, usage, details = [], example }: Command): string {
  return [
    `portcullis ${name}: ${summary}`,
    '',
    `Usage: portcullis ${name} ${usage}`.trimEnd(),
    ...(details.length > 0 ? ['', ...details.map((line) => `  ${line}`)] : []),
    '',
    `Example: ${example}`,
    '',
    '--url URL, --json and --help go with every command; portcullis --help has settings and exit codes.',
  ].join('\n')
}

export function overview(commands: readonly Command[]): string {
  const rows = (pairs: readonly (readonly [string, string])[]) =>
    table(pairs.map(([left, right]) => [`  ${left}`, right]))
  return `portcullis: through the gate as yourself

Usage: portcullis COMMAND [OPTION…]
${rows(commands.map(({ name, summary }) => [name, summary]))}

Options of every command
${rows([
  ['--url URL', 'the gate; else PORTCULLIS_URL, else that of the last login'],
  ['--json', 'the result as one line of JSON on stdout, an error as one on stderr'],
  ['--help', 'what a command does, with an example'],
])}

Settings
${rows([
  ['PORTCULLIS_URL', 'address of the API, https://GATE'],
  ['PORTCULLIS_TOKEN', 'a token or an API key, in place of a login'],
  ['PORTCULLIS_CONFIG_DIR', 'where the login is kept; ~/.config/portcullis'],
  [
    'PORTCULLIS_CA',
    "PEM file with the authority of the gate's certificate, where the system does not know it",
  ],
  ['NO_COLOR', 'no bold letters'],
])}

Exit codes
${rows([
  ['0', 'done'],
  ['1', 'the command line, a setting or a file is wrong'],
  ['2', 'refused: by the gate, or by the person who was asked'],
  ['3', 'unreachable: no answer, or none of a gate'],
  ['4', 'not signed in, or no longer'],
  ['5', 'not here: a program is missing, or the gate does not offer this'],
  ['70', 'a mistake of this program'],
  ['130, 143', 'interrupted'],
])}
  connect ends with the exit code of psql where psql ran.

Example: portcullis login --url https://gate.example && portcullis connect shop`
}
