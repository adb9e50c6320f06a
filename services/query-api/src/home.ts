/** What stands at `/`: what this is, for who typed its address, and where to go from there. It tells nothing of anyone. */
import type { FastifyInstance } from 'fastify'
import { html, page } from './people/html.ts'
import { show } from './people/http.ts'

const links: readonly { readonly path: string; readonly what: string }[] = [
  { path: '/sign-in', what: 'Sign in' },
  { path: '/approvals', what: 'What waits for the answer of a person' },
  { path: '/device', what: 'Sign in a command line or a device' },
  { path: '/v1', what: 'The API: its addresses' },
  { path: '/v1/openapi.json', what: 'The API: its description (OpenAPI)' },
]

/** To be added last: it shows what there is. */
export function homeRoute(app: FastifyInstance): void {
  app.get('/', { schema: { hide: true } }, async (_, reply) =>
    show(
      reply,
      homePage((path) => has(app, path)),
    ),
  )
}

function homePage(isThere: (path: string) => boolean): string {
  const there = links.filter(({ path }) => isThere(path))
  return page(
    'The gate',
    html`<p>Portcullis stands between autonomous agents and the systems they work on. It records every command before it runs, and asks people where it should. This is where people and programs look after it; agents connect to its doors.</p>
${there.map(({ path, what }) => html`<a class="button" href="${path}">${what}</a>`)}
<p><small>On a command line: <code>portcullis login --url</code> and this address.</small></p>`,
  )
}

function has(app: FastifyInstance, url: string): boolean {
  return app.hasRoute({ method: 'GET', url })
}
