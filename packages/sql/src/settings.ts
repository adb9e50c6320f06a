// What setting a parameter does. Refuses to judge values.

/** A setting that decides who the session is, what it may do, or what code the server loads. */
export function settingIsPrivileged(name: string): boolean {
  return privileged.has(name.toLowerCase())
}

/**
 * Whether this search path puts another schema before PostgreSQL's own, whose functions would then go by the names of
 * those that are known to only read.
 */
export function searchPathShadowsCatalog(schemas: readonly string[]): boolean {
  const at = schemas.findIndex((schema) => schema.trim().replaceAll('"', '').toLowerCase() === 'pg_catalog')
  return at > 0
}

/** A setting that takes another role. */
export function settingIsRole(name: string): boolean {
  return name === 'role' || name === 'session_authorization'
}

const privileged = new Set([
  'allow_in_place_tablespaces',
  'allow_system_table_mods',
  'dynamic_library_path',
  'exit_on_error',
  'extension_control_path',
  'ignore_checksum_failure',
  'ignore_system_indexes',
  'jit_provider',
  'lo_compat_privileges',
  'local_preload_libraries',
  'log_duration',
  'log_error_verbosity',
  'log_executor_stats',
  'log_lock_waits',
  'log_min_duration_statement',
  'log_min_error_statement',
  'log_min_messages',
  'log_parameter_max_length',
  'log_statement',
  'log_statement_stats',
  'restrict_nonsystem_relation_kind',
  'role',
  'row_security',
  'session_authorization',
  'session_preload_libraries',
  'session_replication_role',
  'shared_preload_libraries',
  'track_activities',
  'zero_damaged_pages',
])
