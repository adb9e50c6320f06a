/** The part of samlp 8 that testkit's provider uses; the package ships no types. */
declare module 'samlp' {
  type Middleware = (request: object, response: object, next: (error?: unknown) => void) => void
  const samlp: { auth(options: object): Middleware; metadata(options: object): Middleware }
  export default samlp
}
