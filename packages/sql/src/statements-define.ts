// Statements that define things, and those that decide who may do what. Refuses to look into another language's body
// beyond its words.
import type { Effect } from '@portcullis/kernel'
import { bodyWordIsPrivileged } from './functions.ts'
import { isTree, type Tree, type TreeNode } from './grammar.ts'
import type { Statement, Statements } from './statements.ts'
import { inner, list, names, node, nodeType, only, qualified, stringOf, text, type Walk } from './walk.ts'

type More = (walk: Walk, statement: TreeNode) => void
type Verb = string | ((statement: TreeNode) => string)

function define(verb: Verb, more?: More): Statement {
  return {
    verb,
    visit(walk, statement) {
      walk.add('define')
      walk.literalsMatter = true
      more?.(walk, statement)
      walk.withTables('define', () => walk.fields(statement))
    },
  }
}

/** As `define`, with power beyond data: other machines, files, code of the server, or who may do what. */
function power(verb: Verb, effects: readonly Effect[] = [], more?: More): Statement {
  return define(verb, (walk, statement) => {
    walk.add(...effects)
    walk.privileged = true
    more?.(walk, statement)
  })
}

/** Only who may do what: nothing is defined. */
function grants(verb: Verb, more?: More): Statement {
  return {
    verb,
    visit(walk, statement) {
      walk.add('grant')
      walk.privileged = true
      walk.literalsMatter = true
      more?.(walk, statement)
      roles(walk, statement)
    },
  }
}

export const definitionStatements: Statements = {
  AlterCollationStmt: define('ALTER COLLATION'),
  AlterDatabaseRefreshCollStmt: power('ALTER DATABASE', [], database),
  AlterDatabaseSetStmt: power('ALTER DATABASE', ['grant'], database),
  AlterDatabaseStmt: power('ALTER DATABASE', [], database),
  AlterDefaultPrivilegesStmt: grants('ALTER DEFAULT PRIVILEGES'),
  AlterDomainStmt: define('ALTER DOMAIN'),
  AlterEnumStmt: define('ALTER TYPE'),
  AlterEventTrigStmt: power('ALTER EVENT TRIGGER'),
  AlterExtensionContentsStmt: power('ALTER EXTENSION', ['execute'], named('extension', 'extname')),
  AlterExtensionStmt: power('ALTER EXTENSION', ['execute'], named('extension', 'extname')),
  AlterFdwStmt: power('ALTER FOREIGN DATA WRAPPER'),
  AlterForeignServerStmt: power('ALTER SERVER', [], named('server', 'servername')),
  AlterFunctionStmt: define('ALTER FUNCTION', alterFunction),
  AlterObjectDependsStmt: define((statement) => `ALTER ${typeWords(statement.objectType)}`),
  AlterObjectSchemaStmt: define((statement) => `ALTER ${typeWords(statement.objectType)}`, renamed),
  AlterOpFamilyStmt: power('ALTER OPERATOR FAMILY'),
  AlterOperatorStmt: define('ALTER OPERATOR'),
  AlterOwnerStmt: power(
    (statement) => `ALTER ${typeWords(statement.objectType)}`,
    ['grant'],
    (walk, statement) => {
      renamed(walk, statement)
      roles(walk, statement)
    },
  ),
  AlterPolicyStmt: power('ALTER POLICY', ['grant']),
  AlterPublicationStmt: power('ALTER PUBLICATION', ['export']),
  AlterRoleSetStmt: grants('ALTER ROLE'),
  AlterRoleStmt: grants('ALTER ROLE'),
  AlterSeqStmt: define('ALTER SEQUENCE'),
  AlterStatsStmt: define('ALTER STATISTICS'),
  AlterSubscriptionStmt: power('ALTER SUBSCRIPTION', ['write']),
  AlterTSConfigurationStmt: define('ALTER TEXT SEARCH CONFIGURATION'),
  AlterTSDictionaryStmt: define('ALTER TEXT SEARCH DICTIONARY'),
  AlterTableMoveAllStmt: power('ALTER ALL IN TABLESPACE'),
  AlterTableSpaceOptionsStmt: power('ALTER TABLESPACE'),
  AlterTableStmt: define((statement) => `ALTER ${typeWords(statement.objtype)}`, alterTable),
  AlterTypeStmt: define('ALTER TYPE'),
  AlterUserMappingStmt: grants('ALTER USER MAPPING', named('server', 'servername')),
  CommentStmt: define('COMMENT', renamed),
  CompositeTypeStmt: define('CREATE TYPE'),
  CreateAmStmt: power('CREATE ACCESS METHOD'),
  CreateCastStmt: power('CREATE CAST'),
  CreateConversionStmt: power('CREATE CONVERSION'),
  CreateDomainStmt: define('CREATE DOMAIN'),
  CreateEnumStmt: define('CREATE TYPE'),
  CreateEventTrigStmt: power('CREATE EVENT TRIGGER'),
  CreateExtensionStmt: power('CREATE EXTENSION', ['execute'], named('extension', 'extname')),
  CreateFdwStmt: power('CREATE FOREIGN DATA WRAPPER'),
  CreateForeignServerStmt: power('CREATE SERVER', [], named('server', 'servername')),
  CreateForeignTableStmt: power('CREATE FOREIGN TABLE', [], named('server', 'servername')),
  CreateFunctionStmt: {
    verb: (statement) => (statement.is_procedure === true ? 'CREATE PROCEDURE' : 'CREATE FUNCTION'),
    visit(walk, statement) {
      walk.add('define')
      walk.literalsMatter = true
      createFunction(walk, statement)
      walk.tree(statement.parameters)
    },
  },
  CreateOpClassStmt: power('CREATE OPERATOR CLASS'),
  CreateOpFamilyStmt: power('CREATE OPERATOR FAMILY'),
  CreatePLangStmt: power('CREATE LANGUAGE'),
  CreatePolicyStmt: power('CREATE POLICY', ['grant'], roles),
  CreatePublicationStmt: power('CREATE PUBLICATION', ['export']),
  CreateRangeStmt: define('CREATE TYPE'),
  CreateRoleStmt: grants('CREATE ROLE'),
  CreateSchemaStmt: define('CREATE SCHEMA', (walk, statement) => {
    walk.object('schema', '', text(statement.schemaname), 'define')
    if (statement.authrole !== undefined) walk.add('grant')
  }),
  CreateSeqStmt: define('CREATE SEQUENCE'),
  CreateStatsStmt: define('CREATE STATISTICS'),
  CreateStmt: define('CREATE TABLE'),
  CreateSubscriptionStmt: power('CREATE SUBSCRIPTION', ['write', 'execute']),
  CreateTableAsStmt: {
    verb: (statement) =>
      text(statement.objtype) === 'OBJECT_MATVIEW' ? 'CREATE MATERIALIZED VIEW' : 'CREATE TABLE AS',
    visit(walk, statement) {
      walk.add('define', 'write')
      walk.literalsMatter = true
      walk.table(node(statement.into).rel, 'define', list(node(statement.into).colNames).map(stringOf))
      walk.tree(statement.query)
    },
  },
  CreateTableSpaceStmt: power('CREATE TABLESPACE', [], named('path', 'location')),
  CreateTransformStmt: power('CREATE TRANSFORM'),
  CreateTrigStmt: define('CREATE TRIGGER', (walk, statement) => {
    const [schema, name] = qualified(statement.funcname)
    walk.object('function', schema, name, 'define')
  }),
  CreateUserMappingStmt: grants('CREATE USER MAPPING', named('server', 'servername')),
  CreatedbStmt: power('CREATE DATABASE', [], database),
  DefineStmt: define(
    (statement) => `CREATE ${typeWords(statement.kind)}`,
    (walk, statement) => {
      // A base type or an aggregate names functions; a base type's are in C.
      if (text(statement.kind) === 'OBJECT_TYPE') walk.privileged = true
    },
  ),
  DropOwnedStmt: power('DROP OWNED', ['delete', 'grant'], roles),
  DropRoleStmt: grants('DROP ROLE', (walk) => walk.add('delete')),
  DropStmt: define((statement) => `DROP ${typeWords(statement.removeType)}`, drop),
  DropSubscriptionStmt: power('DROP SUBSCRIPTION', ['delete']),
  DropTableSpaceStmt: power('DROP TABLESPACE', ['delete']),
  DropUserMappingStmt: grants('DROP USER MAPPING', (walk, statement) => {
    walk.add('delete')
    named('server', 'servername')(walk, statement)
  }),
  DropdbStmt: power('DROP DATABASE', ['delete'], database),
  GrantRoleStmt: grants(
    (statement) => (statement.is_grant === true ? 'GRANT' : 'REVOKE'),
    (walk, statement) => {
      for (const item of list(statement.granted_roles))
        walk.object('role', '', text(only(item, 'AccessPriv')?.priv_name), 'grant')
    },
  ),
  GrantStmt: grants((statement) => (statement.is_grant === true ? 'GRANT' : 'REVOKE'), grantObjects),
  ImportForeignSchemaStmt: power('IMPORT FOREIGN SCHEMA', ['read'], named('server', 'server_name')),
  IndexStmt: define('CREATE INDEX'),
  ReassignOwnedStmt: grants('REASSIGN OWNED'),
  RefreshMatViewStmt: {
    verb: 'REFRESH MATERIALIZED VIEW',
    visit(walk, statement) {
      walk.add('read', 'write', 'execute')
      walk.literalsMatter = true
      walk.withTables('write', () => walk.fields(statement))
    },
  },
  RenameStmt: define(
    (statement) => `ALTER ${typeWords(statement.renameType)}`,
    (walk, statement) => {
      renamed(walk, statement)
      if (text(statement.renameType) === 'OBJECT_ROLE') {
        walk.add('grant')
        walk.privileged = true
        walk.object('role', '', text(statement.subname), 'grant')
      }
    },
  ),
  ReplicaIdentityStmt: define('ALTER TABLE'),
  RuleStmt: {
    verb: 'CREATE RULE',
    visit(walk, statement) {
      walk.add('define')
      walk.literalsMatter = true
      walk.table(statement.relation, 'define')
      later(walk, () => walk.fields(statement, ['relation']))
    },
  },
  SecLabelStmt: power('SECURITY LABEL', ['grant'], renamed),
  ViewStmt: {
    verb: 'CREATE VIEW',
    visit(walk, statement) {
      walk.add('define')
      walk.literalsMatter = true
      walk.table(statement.view, 'define', list(statement.aliases).map(stringOf))
      walk.tree(statement.query)
    },
  },
}

function named(kind: string, field: string): More {
  return (walk, statement) => {
    walk.object(kind, '', text(statement[field]), 'define')
  }
}

function database(walk: Walk, statement: TreeNode): void {
  walk.object('database', '', text(statement.dbname), 'define')
}

/** OBJECT_FOREIGN_SERVER -> SERVER: the words that stand behind CREATE, ALTER and DROP. */
function typeWords(value: Tree | undefined): string {
  const name = text(value).replace('OBJECT_', '')
  return typeNames[name] ?? name.replaceAll('_', ' ')
}

const typeNames: Readonly<Record<string, string>> = {
  ATTRIBUTE: 'TYPE',
  COLUMN: 'TABLE',
  DOMCONSTRAINT: 'DOMAIN',
  FDW: 'FOREIGN DATA WRAPPER',
  FOREIGN_SERVER: 'SERVER',
  LARGEOBJECT: 'LARGE OBJECT',
  MATVIEW: 'MATERIALIZED VIEW',
  OPCLASS: 'OPERATOR CLASS',
  OPFAMILY: 'OPERATOR FAMILY',
  STATISTIC_EXT: 'STATISTICS',
  TABCONSTRAINT: 'TABLE',
  TSCONFIGURATION: 'TEXT SEARCH CONFIGURATION',
  TSDICTIONARY: 'TEXT SEARCH DICTIONARY',
  TSPARSER: 'TEXT SEARCH PARSER',
  TSTEMPLATE: 'TEXT SEARCH TEMPLATE',
}

const tableLike = /^OBJECT_(TABLE|VIEW|MATVIEW|FOREIGN_TABLE|SEQUENCE|INDEX)$/

function drop(walk: Walk, statement: TreeNode): void {
  walk.add('delete')
  const type = text(statement.removeType)
  if (
    /^OBJECT_(FDW|FOREIGN_SERVER|EXTENSION|EVENT_TRIGGER|LANGUAGE|POLICY|PUBLICATION|ACCESS_METHOD|CAST)$/.test(
      type,
    )
  )
    walk.privileged = true
  if (type === 'OBJECT_POLICY') walk.add('grant')
  for (const item of list(statement.objects)) objectOf(walk, type, item, 'delete')
}

/** Statements with `object` and `objectType` (or renameType). */
function renamed(walk: Walk, statement: TreeNode): void {
  const type = text(statement.objectType) || text(statement.objtype) || text(statement.renameType)
  objectOf(walk, type, statement.object, 'define')
}

function objectOf(walk: Walk, type: string, value: Tree | undefined, effect: Effect): void {
  if (value === undefined) return
  const kind = tableLike.test(type) ? 'table' : type.replace('OBJECT_', '').toLowerCase()
  const wrapped = node(value)
  const nested = nodeType(wrapped) ?? ''
  const target = inner(wrapped, nested)
  const parts =
    nested === 'List' || nested === 'String' || Array.isArray(value)
      ? nested === 'String'
        ? [stringOf(value)]
        : names(value)
      : names(target.objname ?? target.names)
  // A trigger's, rule's or policy's name comes behind its table's.
  if (/^OBJECT_(TRIGGER|RULE|POLICY|TABCONSTRAINT|COLUMN)$/.test(type) && parts.length > 1)
    walk.object('table', parts.at(-3) ?? '', parts.at(-2) ?? '', effect)
  const name = parts.at(-1) ?? ''
  if (name !== '') walk.object(kind, kind === 'schema' ? '' : (parts.at(-2) ?? ''), name, effect)
}

function alterTable(walk: Walk, statement: TreeNode): void {
  for (const item of list(statement.cmds)) {
    const command = only(item, 'AlterTableCmd') ?? {}
    const type = text(command.subtype)
    if (type === 'AT_DropColumn') walk.add('delete')
    if (type === 'AT_ChangeOwner' || /RowSecurity/.test(type)) {
      walk.add('grant')
      walk.privileged = true
      roles(walk, command)
    }
    // Triggers and rules may be what keeps an audit or a check.
    if (/^AT_(Disable|EnableAlways|EnableReplica)(Trig|Rule)/.test(type)) walk.privileged = true
    const names = text(command.name)
    if (/Column/.test(type) && names !== '') walk.table(statement.relation, 'define', [names])
  }
}

function createFunction(walk: Walk, statement: TreeNode): void {
  const [schema, name] = qualified(statement.funcname)
  walk.object(statement.is_procedure === true ? 'procedure' : 'function', schema, name, 'define')
  functionOptions(walk, statement.options)
  later(walk, () => walk.tree(statement.sql_body))
  const language = optionText(statement.options, 'language').toLowerCase()
  if (language !== '' && language !== 'sql' && language !== 'plpgsql') walk.privileged = true
  for (const item of list(statement.options)) {
    const option = only(item, 'DefElem')
    if (option?.defname === 'as' && bodyIsPrivileged(names(option.arg).join(' '))) walk.privileged = true
  }
}

/** What is stored now and run another time, by whoever calls it. */
function later(walk: Walk, body: () => void): void {
  const before = walk.planned
  walk.planned = true
  walk.withTables('read', body)
  walk.planned = before
}

function alterFunction(walk: Walk, statement: TreeNode): void {
  const [schema, name] = qualified(node(statement.func).objname)
  walk.object('function', schema, name, 'define')
  functionOptions(walk, statement.actions)
}

function functionOptions(walk: Walk, options: Tree | undefined): void {
  for (const item of list(options)) {
    const option = only(item, 'DefElem')
    // It will run with its owner's rights, whoever calls it.
    if (option?.defname === 'security' && node(only(option.arg, 'Boolean')).boolval === true) {
      walk.add('grant')
      walk.privileged = true
    }
  }
}

function optionText(options: Tree | undefined, name: string): string {
  for (const item of list(options)) {
    const option = only(item, 'DefElem')
    if (option?.defname === name) return stringOf(option.arg)
  }
  return ''
}

function bodyIsPrivileged(body: string): boolean {
  return body
    .toLowerCase()
    .split(/[^a-z0-9_]+/)
    .some(bodyWordIsPrivileged)
}

function grantObjects(walk: Walk, statement: TreeNode): void {
  const type = text(statement.objtype)
  const columns = list(statement.privileges).flatMap((item) =>
    list(only(item, 'AccessPriv')?.cols).map(stringOf),
  )
  for (const item of list(statement.objects)) {
    if (only(item, 'RangeVar') !== undefined) walk.table(item, 'grant', columns)
    else objectOf(walk, type, item, 'grant')
  }
}

/** Every role that the statement names. */
function roles(walk: Walk, value: Tree | undefined): void {
  if (Array.isArray(value)) {
    for (const item of value as readonly Tree[]) roles(walk, item)
  } else if (isTree(value)) {
    const type = text(value.roletype)
    if (type === 'ROLESPEC_CSTRING') walk.object('role', '', text(value.rolename), 'grant')
    else if (type === 'ROLESPEC_PUBLIC') walk.object('role', '', 'public', 'grant')
    else if (typeof value.role === 'string') walk.object('role', '', value.role, 'grant')
    for (const field in value) roles(walk, value[field])
  }
}
