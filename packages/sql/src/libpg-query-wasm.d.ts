// libpg-query publishes types for its string API only; these are the parts of its WASM module that grammar.ts uses.
declare module 'libpg-query/wasm/libpg-query.js' {
  export interface PgQueryModule {
    HEAPU8: Uint8Array
    getValue(pointer: number, type: 'i32'): number
    UTF8ToString(pointer: number): string
    _malloc(bytes: number): number
    _free(pointer: number): void
    _wasm_parse_query_raw(sql: number): number
    _wasm_free_parse_result(result: number): void
    _wasm_fingerprint(sql: number): number
    _wasm_scan(sql: number): number
    _wasm_free_string(text: number): void
  }
  const create: () => Promise<PgQueryModule>
  export default create
}
