/** A log that only says what must not happen. */
export const quiet = {
  debug() {},
  info() {},
  warn() {},
  error(fields: object, message: string) {
    console.error(message, fields)
  },
}
