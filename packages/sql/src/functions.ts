// What calling a function does, by its name. A function that PostgreSQL itself does not vouch for is `execute`, so a
// call of it is never only `read`. Refuses to know a target's own functions: that takes its catalogue.
import type { Effect } from '@portcullis/kernel'
import { readOnlyFunctionNames } from './functions.gen.ts'

export interface FunctionUse {
  readonly effects: readonly Effect[]
  readonly privileged: boolean
}

export interface Functions {
  /** `schema` is empty where the text names none. Both as PostgreSQL folds them. */
  use(schema: string, name: string): FunctionUse
}

export function createFunctions(): Functions {
  const readOnly = new Set(readOnlyFunctionNames.trim().split(/\s+/))
  return {
    use(schema, name) {
      const known = knownUse(schema, name)
      if (known !== undefined) return known
      if ((schema === '' || schema === 'pg_catalog') && readOnly.has(name)) return harmless
      // Helpers of the information schema, which drivers call for keys and types.
      if (schema === 'information_schema' && name.startsWith('_pg_')) return harmless
      return unvouched
    },
  }
}

const harmless: FunctionUse = { effects: [], privileged: false }
/** What is said of a function that nobody vouches for. */
export const unvouched: FunctionUse = { effects: ['execute'], privileged: false }

const known: readonly (readonly [RegExp, readonly Effect[], boolean])[] = [
  // Files of the server.
  [/^pg_(read|stat)_(binary_)?file(_all|_off_len(_missing)?|_1arg|_old)?$/, ['read', 'execute'], true],
  [/^pg_ls_/, ['read', 'execute'], true],
  [
    /^pg_(hba_file_rules|ident_file_mappings|show_all_file_settings|current_logfile)$/,
    ['read', 'execute'],
    true,
  ],
  [
    /^pg_(file_(write|sync|rename|unlink|read|length)|logdir_ls|logfile_rotate|rotate_logfile.*)$/,
    ['write', 'execute'],
    true,
  ],
  [/^lo_import$/, ['read', 'write', 'execute'], true],
  [/^lo_export$/, ['read', 'export', 'execute'], true],
  // Large objects.
  [/^lo_(get|open|tell(64)?|lseek(64)?|close)$|^loread$/, ['read', 'execute'], false],
  [/^lo_unlink$/, ['delete', 'execute'], false],
  [/^lo_|^lowrite$/, ['write', 'execute'], false],
  // Other servers.
  [/^dblink/, ['read', 'write', 'execute', 'unknown'], true],
  [/^postgres_fdw_/, ['execute'], true],
  // Text that is run as SQL.
  [
    /^(query|cursor)_to_xml|^ts_(stat|rewrite)$|^(crosstab|connectby|xpath_table)/,
    ['read', 'execute', 'unknown'],
    false,
  ],
  [/^(table|schema|database)_to_xml/, ['read', 'execute', 'unknown'], false],
  [/^pg_execute_server_program$/, ['execute'], true],
  // The server itself.
  [/^pg_(terminate|cancel)_backend$/, ['execute'], true],
  [
    /^pg_(reload_conf|promote|switch_wal|create_restore_point|backup_(start|stop)|(start|stop)_backup|wal_replay_(pause|resume)|log_(standby_snapshot|backend_memory_contexts)|stat_reset.*|stat_force_next_flush|stat_statements_reset|nextoid|import_system_collations|set_.*|restore_.*|clear_.*|prewarm|autoprewarm.*|extension_config_dump|buffercache_evict.*)$/,
    ['write', 'execute'],
    true,
  ],
  // What was written to any table, out of the write-ahead log.
  [/^pg_logical_slot_(get|peek)_/, ['read', 'write', 'execute'], true],
  [/^pg_(logical|create|drop|copy|sync|replication|get_replication)_/, ['write', 'execute'], true],
  [/^binary_upgrade_/, ['define', 'execute'], true],
  [
    /^(heap_force|pg_truncate_visibility|bt_(index|metap|page|multi)|gin_(clean|metapage|page|leafpage)|brin_(summarize|desummarize)|get_raw_page|page_header|heap_page)/,
    ['write', 'execute'],
    true,
  ],
  // Sequences and locks.
  [/^(nextval|setval)$/, ['write', 'execute'], false],
  [/^pg_(try_)?advisory_/, ['execute'], false],
  // Other sessions see it.
  [/^pg_notify$/, ['write', 'execute'], false],
]

/**
 * What a function of that name does, whatever the catalogue says; undefined where nobody knows. An extension's function
 * keeps its name in whatever schema it was installed.
 */
export function knownUse(schema: string, name: string): FunctionUse | undefined {
  // pg_cron runs the text it is given, later and as somebody.
  if (schema === 'cron') return { effects: ['define', 'execute'], privileged: true }
  // Its first argument decides; see expressions.ts.
  if (name === 'set_config') return harmless
  for (const [pattern, effects, privileged] of known) {
    if (pattern.test(name)) return { effects, privileged }
  }
  return undefined
}

/** Whether a word of a function's body names power beyond data, so that wrapping it in a function does not hide it. */
export function bodyWordIsPrivileged(word: string): boolean {
  return knownUse('', word)?.privileged === true || privilegedWords.has(word)
}

const privilegedWords = new Set([
  'authorization',
  'extension',
  'grant',
  'program',
  'revoke',
  'subscription',
  'superuser',
])
