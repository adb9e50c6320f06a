// How PostgreSQL names a column of a select list that was given no name (FigureColname of parse_target.c). A name that is
// wrong here would be looked for in vain, and so be lost, never clean.
import { isTree, type Tree, type TreeNode } from '../grammar.ts'
import { inner, list, names, node, nodeType, only, qualified, stringOf, text } from '../walk.ts'

export function nameOf(target: TreeNode): string {
  return text(target.name) || (figured(target.val)?.name ?? '?column?')
}

/** `weak`: only where nothing better is found. */
interface Figured {
  readonly name: string
  readonly weak?: boolean
}

function figured(tree: Tree | undefined): Figured | undefined {
  if (!isTree(tree)) return undefined
  const type = nodeType(tree) ?? ''
  return ways[type]?.(inner(tree, type))
}

const named = (name: string): Figured | undefined => (name === '' ? undefined : { name })

const ways: Readonly<Record<string, (found: TreeNode) => Figured | undefined>> = {
  ColumnRef: ({ fields }) => named(lastName(fields)),
  A_Indirection: ({ arg, indirection }) => named(lastName(indirection)) ?? figured(arg),
  FuncCall: ({ funcname }) => named(qualified(funcname)[1]),
  A_Expr: ({ kind }) => (kind === 'AEXPR_NULLIF' ? { name: 'nullif' } : undefined),
  TypeCast({ arg, typeName }) {
    const better = figured(arg)
    if (better !== undefined && better.weak !== true) return better
    const type = names(node(typeName).names).at(-1) ?? ''
    return type === '' ? better : { name: type, weak: true }
  },
  CollateClause: ({ arg }) => figured(arg),
  GroupingFunc: () => ({ name: 'grouping' }),
  MergeSupportFunc: () => ({ name: 'merge_action' }),
  SubLink({ subLinkType, subselect }) {
    if (subLinkType === 'EXISTS_SUBLINK') return { name: 'exists' }
    if (subLinkType === 'ARRAY_SUBLINK') return { name: 'array' }
    if (subLinkType !== 'EXPR_SUBLINK') return undefined
    const [first] = list(only(subselect, 'SelectStmt')?.targetList)
    const target = only(first, 'ResTarget')
    return target && (named(text(target.name)) ?? figured(target.val))
  },
  CaseExpr({ defresult }) {
    const better = figured(defresult)
    return better === undefined || better.weak === true ? { name: 'case', weak: true } : better
  },
  A_ArrayExpr: () => ({ name: 'array' }),
  RowExpr: () => ({ name: 'row' }),
  CoalesceExpr: () => ({ name: 'coalesce' }),
  MinMaxExpr: ({ op }) => ({ name: op === 'IS_GREATEST' ? 'greatest' : 'least' }),
  SQLValueFunction: ({ op }) => ({
    name: text(op)
      .replace(/^SVFOP_|_N$/g, '')
      .toLowerCase(),
  }),
  XmlExpr: ({ op }) => named(xmlNames[text(op)] ?? ''),
  XmlSerialize: () => ({ name: 'xmlserialize' }),
  JsonParseExpr: () => ({ name: 'json' }),
  JsonScalarExpr: () => ({ name: 'json_scalar' }),
  JsonSerializeExpr: () => ({ name: 'json_serialize' }),
  JsonObjectConstructor: () => ({ name: 'json_object' }),
  JsonArrayConstructor: () => ({ name: 'json_array' }),
  JsonArrayQueryConstructor: () => ({ name: 'json_array' }),
  JsonObjectAgg: () => ({ name: 'json_objectagg' }),
  JsonArrayAgg: () => ({ name: 'json_arrayagg' }),
  JsonFuncExpr: ({ op }) => named(jsonNames[text(op)] ?? ''),
}

const xmlNames: Readonly<Record<string, string>> = {
  IS_XMLCONCAT: 'xmlconcat',
  IS_XMLELEMENT: 'xmlelement',
  IS_XMLFOREST: 'xmlforest',
  IS_XMLPARSE: 'xmlparse',
  IS_XMLPI: 'xmlpi',
  IS_XMLROOT: 'xmlroot',
}

const jsonNames: Readonly<Record<string, string>> = {
  JSON_EXISTS_OP: 'json_exists',
  JSON_QUERY_OP: 'json_query',
  JSON_VALUE_OP: 'json_value',
}

function lastName(fields: Tree | undefined): string {
  return (
    list(fields)
      .map(stringOf)
      .findLast((name) => name !== '') ?? ''
  )
}
