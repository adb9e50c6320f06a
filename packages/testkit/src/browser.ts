/**
 * As much of a browser as a sign-in needs: cookies by origin, redirects one at a time, and forms that are filled in and
 * sent. Refuses to leave loopback. For tests; what a real one does with a page is for a real one to show.
 */

export interface Page {
  readonly url: string
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

export interface Form {
  /** Absolute. */
  readonly action: string
  readonly fields: Readonly<Record<string, string>>
}

export interface Browser {
  get(url: string): Promise<Page>
  post(url: string, fields: Readonly<Record<string, string>>): Promise<Page>
  /** Follows redirects until a page is not one, or one leads to `until`, which is returned unvisited. */
  follow(page: Page, until: string): Promise<Page | string>
}

export function createBrowser(): Browser {
  const jars = new Map<string, Map<string, string>>()

  async function send(url: string, init: RequestInit = {}): Promise<Page> {
    const { origin, hostname } = new URL(url)
    if (!['127.0.0.1', 'localhost'].includes(hostname)) throw new Error(`${origin} is not on loopback`)
    const jar = jars.get(origin) ?? new Map<string, string>()
    jars.set(origin, jar)
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, { ...init, redirect: 'manual', headers: { ...init.headers, cookie } })
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';')
      const at = pair.indexOf('=')
      const isOver = /expires=Thu, 01 Jan 1970/i.test(line)
      if (isOver) jar.delete(pair.slice(0, at))
      else jar.set(pair.slice(0, at), pair.slice(at + 1))
    }
    return { url, status: response.status, headers: response.headers, text: await response.text() }
  }

  return {
    get: (url) => send(url),
    post: (url, fields) =>
      send(url, {
        method: 'POST',
        body: new URLSearchParams(fields).toString(),
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      }),
    async follow(page, until) {
      let current = page
      for (let hops = 0; hops < 10; hops += 1) {
        const location = current.headers.get('location')
        if (current.status < 300 || current.status > 399 || location === null) return current
        const next = new URL(location, current.url).href
        if (next.startsWith(until)) return next
        current = await send(next)
      }
      throw new Error('more than ten redirects')
    },
  }
}

/** The first form of a page. */
export function formOf({ url, text }: Pick<Page, 'url' | 'text'>): Form {
  const tag = /<form[^>]*>/i.exec(text)?.[0]
  if (tag === undefined) throw new Error(`no form on ${url}: ${text.slice(0, 300)}`)
  const attribute = (source: string, name: string) => {
    const value = new RegExp(`\\b${name}=(?:"([^"]*)"|'([^']*)')`, 'i').exec(source)
    return value === null ? undefined : unescaped(value[1] ?? value[2] ?? '')
  }
  const fields = [...text.matchAll(/<input[^>]*>/gi)].flatMap(([input]): [string, string][] => {
    const name = attribute(input, 'name')
    return name === undefined ? [] : [[name, attribute(input, 'value') ?? '']]
  })
  return { action: new URL(attribute(tag, 'action') ?? '', url).href, fields: Object.fromEntries(fields) }
}

function unescaped(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#34;', '"')
    .replaceAll('&#x2F;', '/')
    .replaceAll('&#39;', "'")
    .replaceAll('&#43;', '+')
    .replaceAll('&amp;', '&')
}
