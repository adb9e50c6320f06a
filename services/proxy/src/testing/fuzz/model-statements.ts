/** The statements that the fuzzer's clients send and its model of a server knows, by their exact text. */
export type Meaning =
  | { readonly does: 'empty' | 'begin' | 'commit' | 'rollback' | 'savepoint' | 'rollbackTo' }
  | { readonly does: 'failPlan' | 'failRun' | 'copyIn' | 'copyOut' | 'notice' | 'notify' }
  | { readonly does: 'rows'; readonly count: number }
  | { readonly does: 'tag'; readonly tag: string }
  | { readonly does: 'prepare' | 'declare'; readonly name: string; readonly text: string }
  | { readonly does: 'executeSql' | 'fetch' | 'closeCursor'; readonly name: string }
  | { readonly does: 'deallocate'; readonly name: string | undefined }
  | { readonly does: 'set'; readonly name: string; readonly value: string }

/** Only asked at the end of a script, to see that the session still answers. */
export const lastQuery = { text: 'select generate_series(1,7)', tag: 'C:SELECT 7' } as const

const known = new Map<string, Meaning>([
  ['select 1', { does: 'rows', count: 1 }],
  ['select generate_series(1,3)', { does: 'rows', count: 3 }],
  ['select generate_series(1,40)', { does: 'rows', count: 40 }],
  ['begin', { does: 'begin' }],
  ['commit', { does: 'commit' }],
  ['rollback', { does: 'rollback' }],
  ['savepoint s', { does: 'savepoint' }],
  ['rollback to s', { does: 'rollbackTo' }],
  ["insert into t values ('k')", { does: 'tag', tag: 'INSERT 0 1' }],
  ['delete from t', { does: 'tag', tag: 'DELETE 0' }],
  ['select 1/0', { does: 'failPlan' }],
  ['select 1/n from t', { does: 'failRun' }],
  ['copy t from stdin', { does: 'copyIn' }],
  ['copy t to stdout', { does: 'copyOut' }],
  ['declare c cursor for select 1', { does: 'declare', name: 'c', text: 'declare c cursor for select 1' }],
  ['declare p cursor for select 1', { does: 'declare', name: 'p', text: 'declare p cursor for select 1' }],
  ['fetch c', { does: 'fetch', name: 'c' }],
  ['close c', { does: 'closeCursor', name: 'c' }],
  ['close p', { does: 'closeCursor', name: 'p' }],
  ['deallocate a', { does: 'deallocate', name: 'a' }],
  ['deallocate all', { does: 'deallocate', name: undefined }],
  ['prepare a as select 5', { does: 'prepare', name: 'a', text: 'select 5' }],
  ['select 5', { does: 'rows', count: 1 }],
  ['execute a', { does: 'executeSql', name: 'a' }],
  [
    'set standard_conforming_strings to on',
    { does: 'set', name: 'standard_conforming_strings', value: 'on' },
  ],
  [
    'set standard_conforming_strings to off',
    { does: 'set', name: 'standard_conforming_strings', value: 'off' },
  ],
  ["set client_encoding to 'SJIS'", { does: 'set', name: 'client_encoding', value: 'SJIS' }],
  ["set client_encoding to 'UTF8'", { does: 'set', name: 'client_encoding', value: 'UTF8' }],
  ["do 'begin raise notice ''x''; end'", { does: 'notice' }],
  ['notify n', { does: 'notify' }],
])

export const statements: readonly [string, ...string[]] = ['', 'selec', ...known.keys()]
known.set(lastQuery.text, { does: 'rows', count: 7 })

/** What each statement of a text does, none for an empty text; undefined where it is no text of the vocabulary. */
export function meaningsOf(text: string): readonly Meaning[] | undefined {
  const bare = text.replace(/ ?\/\*x*\*\/$/, '')
  if (bare === '') return []
  const meanings = bare.startsWith('do ') ? [known.get(bare)] : bare.split('; ').map((one) => known.get(one))
  return meanings.every((meaning) => meaning !== undefined) ? meanings : undefined
}
