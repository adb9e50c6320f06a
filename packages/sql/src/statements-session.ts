// Statements about the session, its transaction, its cursors and prepared statements, and the server's upkeep. What only
// changes the session itself has no effect on the world, so none is reported. Refuses to resolve what an EXECUTE runs:
// the session that prepared it knows.
import { keptArguments } from './bind.ts'
import type { Tree, TreeNode } from './grammar.ts'
import { searchPathShadowsCatalog, settingIsPrivileged, settingIsRole } from './settings.ts'
import type { Statements } from './statements.ts'
import type { Transaction } from './types.ts'
import { constantText, inner, list, node, nodeType, only, stringOf, text, type Walk } from './walk.ts'

export const sessionStatements: Statements = {
  TransactionStmt: {
    verb: (statement) => transactionVerbs[text(statement.kind)] ?? 'TRANSACTION',
    transaction: (statement) => transactions[text(statement.kind)],
    visit(walk, statement) {
      const kind = text(statement.kind)
      // They end what another session prepared.
      if (kind === 'TRANS_STMT_COMMIT_PREPARED' || kind === 'TRANS_STMT_ROLLBACK_PREPARED') walk.add('write')
      walk.literalsMatter = true
    },
  },
  VariableSetStmt: {
    verb: (statement) => (/RESET/.test(text(statement.kind)) ? 'RESET' : 'SET'),
    visit(walk, statement) {
      walk.literalsMatter = true
      const name = text(statement.name).toLowerCase()
      if (text(statement.kind) === 'VAR_RESET_ALL') {
        walk.object('setting', '', '*', 'write')
        return
      }
      if (settingIsRole(name)) {
        walk.add('grant')
        walk.privileged = true
        const role = only(list(statement.args)[0], 'A_Const')?.sval
        walk.object('role', '', text(node(role).sval) || name, 'grant')
      } else if (settingIsPrivileged(name)) walk.privileged = true
      const values = list(statement.args).map((value) => constantText(value) ?? '')
      if (name === 'search_path' && searchPathShadowsCatalog(values)) walk.privileged = true
      walk.object('setting', '', name, 'write')
    },
  },
  VariableShowStmt: {
    verb: 'SHOW',
    returnsRows: () => true,
    visit(walk, statement) {
      walk.add('read')
      walk.literalsMatter = true
      walk.object('setting', '', text(statement.name), 'read')
    },
  },
  ConstraintsSetStmt: {
    verb: 'SET CONSTRAINTS',
    visit(walk, statement) {
      walk.literalsMatter = true
      // What was put off is done now: triggers run.
      if (statement.deferred !== true) walk.add('execute')
    },
  },
  DiscardStmt: {
    verb: 'DISCARD',
    visit(walk) {
      walk.literalsMatter = true
    },
  },
  PrepareStmt: {
    verb: 'PREPARE',
    visit(walk, statement) {
      walk.statement('prepared', 'make', text(statement.name))
      walk.object('prepared', '', text(statement.name), 'define')
      walk.tree(statement.query)
      walk.tree(statement.argtypes)
    },
  },
  ExecuteStmt: {
    verb: 'EXECUTE',
    returnsRows: () => true,
    visit(walk, statement) {
      walk.statement('prepared', 'use', text(statement.name), { args: keptArguments(list(statement.params)) })
      walk.object('prepared', '', text(statement.name), 'execute')
      walk.fields(statement)
    },
  },
  DeallocateStmt: {
    verb: 'DEALLOCATE',
    visit: (walk, statement) =>
      walk.statement('prepared', 'drop', statement.isall === true ? undefined : text(statement.name)),
  },
  DeclareCursorStmt: {
    verb: 'DECLARE',
    visit(walk, statement) {
      const name = text(statement.portalname)
      walk.statement('cursor', 'make', name, {
        holds: ((statement.options as number) & cursorOptionHold) !== 0,
      })
      walk.object('cursor', '', name, 'read')
      walk.tree(statement.query)
    },
  },
  FetchStmt: {
    verb: (statement) => (statement.ismove === true ? 'MOVE' : 'FETCH'),
    returnsRows: (statement) => statement.ismove !== true,
    visit(walk, statement) {
      walk.add('read')
      walk.statement('cursor', 'use', text(statement.portalname))
      walk.object('cursor', '', text(statement.portalname), 'read')
    },
  },
  ClosePortalStmt: {
    verb: 'CLOSE',
    visit: (walk, statement) => walk.statement('cursor', 'drop', text(statement.portalname) || undefined),
  },
  ExplainStmt: {
    verb: (statement) => (analyzes(statement) ? 'EXPLAIN ANALYZE' : 'EXPLAIN'),
    returnsRows: () => true,
    visit(walk, statement) {
      walk.literalsMatter = true
      walk.add('read')
      const before = walk.planned
      walk.planned ||= !analyzes(statement)
      walk.tree(statement.query)
      walk.planned = before
    },
  },
  ListenStmt: {
    verb: 'LISTEN',
    visit(walk, statement) {
      walk.add('read')
      walk.object('channel', '', text(statement.conditionname), 'read')
    },
  },
  UnlistenStmt: { verb: 'UNLISTEN', visit: quiet },
  NotifyStmt: {
    verb: 'NOTIFY',
    visit(walk, statement) {
      walk.add('write')
      walk.literalsMatter = true
      walk.object('channel', '', text(statement.conditionname), 'write')
    },
  },
  LockStmt: {
    verb: 'LOCK',
    visit(walk, statement) {
      // ACCESS SHARE (1) is what a SELECT takes; every other mode keeps somebody waiting.
      const effect = statement.mode === 1 ? 'read' : 'write'
      walk.add(effect)
      walk.literalsMatter = true
      walk.withTables(effect, () => walk.fields(statement))
    },
  },
  VacuumStmt: {
    verb: (statement) => (statement.is_vacuumcmd === true ? 'VACUUM' : 'ANALYZE'),
    visit: upkeep,
  },
  ClusterStmt: { verb: 'CLUSTER', visit: upkeep },
  ReindexStmt: {
    verb: 'REINDEX',
    visit(walk, statement) {
      upkeep(walk, statement)
      if (statement.name !== undefined) walk.object('database', '', text(statement.name), 'write')
    },
  },
  CheckPointStmt: {
    verb: 'CHECKPOINT',
    visit(walk) {
      walk.add('execute')
      walk.privileged = true
      walk.literalsMatter = true
    },
  },
  LoadStmt: {
    verb: 'LOAD',
    visit(walk, statement) {
      walk.add('execute')
      walk.privileged = true
      walk.literalsMatter = true
      walk.object('path', '', text(statement.filename), 'execute')
    },
  },
  AlterSystemStmt: {
    verb: 'ALTER SYSTEM',
    visit(walk, statement) {
      walk.add('define')
      walk.privileged = true
      walk.literalsMatter = true
      walk.object(
        'setting',
        '',
        text(node(only(statement.setstmt, 'VariableSetStmt') ?? statement.setstmt).name),
        'define',
      )
    },
  },
  CallStmt: {
    verb: 'CALL',
    returnsRows: () => true,
    visit(walk, statement) {
      walk.add('execute', 'unknown')
      walk.literalsMatter = true
      walk.tree({ FuncCall: node(only(statement.funccall, 'FuncCall') ?? statement.funccall) })
    },
  },
  DoStmt: {
    verb: 'DO',
    visit(walk) {
      walk.add('execute', 'unknown')
      walk.privileged = true
      walk.literalsMatter = true
    },
  },
}

/** CURSOR_OPT_HOLD of parsenodes.h. */
const cursorOptionHold = 0x20

function quiet(walk: Walk): void {
  walk.literalsMatter = true
}

/** It changes no data that anybody can see, yet it works on the table and can keep others waiting. */
function upkeep(walk: Walk, statement: TreeNode): void {
  walk.add('write')
  walk.literalsMatter = true
  walk.withTables('write', () => walk.fields(statement))
}

/** Anything but a plain "no" counts as yes. The last of several decides, so any yes does. */
function analyzes(statement: TreeNode): boolean {
  return list(statement.options).some((item) => {
    const option = only(item, 'DefElem')
    return option?.defname === 'analyze' && !isNo(option.arg)
  })
}

function isNo(value: Tree | undefined): boolean {
  if (value === undefined) return false
  const wrapped = node(value)
  const type = nodeType(wrapped) ?? ''
  if (type === 'Boolean') return inner(wrapped, type).boolval !== true
  if (type === 'Integer') return (inner(wrapped, type).ival ?? 0) === 0
  return /^(false|off)$/i.test(stringOf(value))
}

const transactions: Readonly<Record<string, Transaction>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'release',
  TRANS_STMT_ROLLBACK_TO: 'rollbackTo',
}

const transactionVerbs: Readonly<Record<string, string>> = {
  TRANS_STMT_BEGIN: 'BEGIN',
  TRANS_STMT_START: 'START TRANSACTION',
  TRANS_STMT_COMMIT: 'COMMIT',
  TRANS_STMT_ROLLBACK: 'ROLLBACK',
  TRANS_STMT_SAVEPOINT: 'SAVEPOINT',
  TRANS_STMT_RELEASE: 'RELEASE',
  TRANS_STMT_ROLLBACK_TO: 'ROLLBACK TO',
  TRANS_STMT_PREPARE: 'PREPARE TRANSACTION',
  TRANS_STMT_COMMIT_PREPARED: 'COMMIT PREPARED',
  TRANS_STMT_ROLLBACK_PREPARED: 'ROLLBACK PREPARED',
}
