/**
 * A real Chromium without a window, driven by its own DevTools protocol: what a person sees of a page, and what a browser
 * does with cookies, redirects and policies. Refuses to leave loopback. It holds one page at a time by hand of a test; it
 * is no framework for tests.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'

export interface PageOptions {
  readonly width?: number
  readonly height?: number
  readonly dark?: boolean
  /** Default true. */
  readonly scripts?: boolean
}

export interface BrowserCookie {
  readonly name: string
  readonly value: string
  readonly domain: string
  readonly path: string
  readonly httpOnly: boolean
  readonly secure: boolean
  readonly sameSite?: string
}

/** Each rejects after 20 s. Selectors are of CSS. */
export interface ChromiumPage {
  goto(url: string): Promise<void>
  /** What a person reads. */
  text(): Promise<string>
  url(): Promise<string>
  type(selector: string, text: string): Promise<void>
  /** Clicks, and waits for the page that follows. */
  click(selector: string): Promise<void>
  waitForText(pattern: RegExp): Promise<string>
  /** Of an expression, in the page; works without scripts of the page too. */
  evaluate<T>(expression: string): Promise<T>
  cookies(): Promise<readonly BrowserCookie[]>
  /** Addresses of the frames of other sites within; of one that was refused, not its own. */
  frames(): Promise<readonly string[]>
  /** A PNG. */
  screenshot(file: string): Promise<void>
}

export interface Chromium {
  /** With cookies of its own, as a browser of somebody else. */
  newPage(options?: PageOptions): Promise<ChromiumPage>
}

const timeoutMs = 20_000
const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

/** PORTCULLIS_CHROMIUM, or the first that is installed; undefined for none. */
export function findChromium(): string | undefined {
  const wanted = process.env.PORTCULLIS_CHROMIUM
  return [...(wanted ? [wanted] : []), ...names].find((name) => spawnSync(name, ['--version']).status === 0)
}

/** Throws where none is installed. */
export async function startChromium(): Promise<Started<Chromium>> {
  const program = findChromium()
  if (program === undefined) throw new Error('Chromium is not installed: apt-get install chromium')
  const profile = mkdtempSync(join(tmpdir(), 'portcullis-chromium-'))
  const child = spawn(program, flags(profile), { stdio: ['ignore', 'ignore', 'pipe'] })
  const stop = async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null)
      await new Promise((resolve) => child.once('exit', resolve))
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
  try {
    const connection = await connect(await addressOf(child))
    return {
      value: { newPage: (options = {}) => openPage(connection, options) },
      stop: async () => {
        connection.close()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function flags(profile: string): string[] {
  return [
    ...['--headless=new', '--remote-debugging-port=0', `--user-data-dir=${profile}`, '--no-first-run'],
    ...['--disable-gpu', '--disable-dev-shm-usage', '--disable-extensions', '--disable-sync', '--mute-audio'],
    ...['--disable-background-networking', '--disable-component-update', '--disable-default-apps'],
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
    // Its sandbox does not run as root, which containers are.
    ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    'about:blank',
  ]
}

function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    const timer = setTimeout(
      () => reject(new Error(`Chromium does not start: ${said.slice(-500)}`)),
      timeoutMs,
    )
    child.once('exit', (code) => reject(new Error(`Chromium ended with ${code}: ${said.slice(-500)}`)))
    child.stderr?.on('data', (data) => {
      said += data
      const [, address] = /DevTools listening on (ws:\S+)/.exec(said) ?? []
      if (address === undefined) return
      clearTimeout(timer)
      resolve(address)
    })
  })
}

interface Connection {
  send<T>(method: string, params?: object, sessionId?: string): Promise<T>
  close(): void
}

async function connect(address: string): Promise<Connection> {
  const socket = new WebSocket(address)
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => resolve(), { once: true })
    socket.addEventListener('error', () => reject(new Error('Chromium does not answer')), { once: true })
  })
  const waiting = new Map<number, (answer: { result?: unknown; error?: { message: string } }) => void>()
  let lastId = 0
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data))
    waiting.get(message.id)?.(message)
    waiting.delete(message.id)
  })
  return {
    send(method, params = {}, sessionId) {
      const id = ++lastId
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${method} took too long`)), timeoutMs)
        waiting.set(id, ({ result, error }) => {
          clearTimeout(timer)
          if (error) reject(new Error(`${method}: ${error.message}`))
          else resolve(result as never)
        })
        socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }))
      })
    },
    close: () => socket.close(),
  }
}

async function openPage(connection: Connection, options: PageOptions): Promise<ChromiumPage> {
  const { width = 800, height = 600, dark = false, scripts = true } = options
  const { browserContextId } = await connection.send<{ browserContextId: string }>(
    'Target.createBrowserContext',
  )
  const target = { url: 'about:blank', browserContextId, width, height }
  const { targetId } = await connection.send<{ targetId: string }>('Target.createTarget', target)
  const attach = { targetId, flatten: true }
  const { sessionId } = await connection.send<{ sessionId: string }>('Target.attachToTarget', attach)
  const send = <T>(method: string, params: object = {}) => connection.send<T>(method, params, sessionId)
  await send('Page.enable')
  await send('Emulation.setDeviceMetricsOverride', {
    width,
    height,
    deviceScaleFactor: 1,
    mobile: width < 500,
  })
  const features = [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }]
  await send('Emulation.setEmulatedMedia', { features })
  if (!scripts) await send('Emulation.setScriptExecutionDisabled', { value: true })

  async function evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await send<Evaluated<T>>('Runtime.evaluate', {
      ...{ expression, returnByValue: true, awaitPromise: true },
    })
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.text}`)
    return result.value
  }

  /** Until the document is another than before, and all there. */
  async function settled(before: string | undefined): Promise<void> {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      const now = await documentOf().catch(() => undefined)
      if (now && now.state === 'complete' && now.id !== before) return
      if (Date.now() > deadline) throw new Error(`no page came: ${JSON.stringify(now)}`)
      await delay(25)
    }
  }
  async function documentOf(): Promise<{ id: string; state: string }> {
    return evaluate(
      `({ id: performance.timeOrigin + location.href, state: location.href === 'about:blank' ? 'blank' : document.readyState })`,
    )
  }
  const found = (selector: string) => `document.querySelector(${JSON.stringify(selector)})`
  const text = () => evaluate<string>('document.body.innerText')

  return {
    evaluate,
    text,
    url: () => evaluate('location.href'),
    async goto(url) {
      const { id } = await documentOf()
      const { errorText } = await send<{ errorText?: string }>('Page.navigate', { url })
      if (errorText) throw new Error(`${url}: ${errorText}`)
      await settled(id)
    },
    async type(selector, what) {
      await evaluate(`${found(selector)}.focus()`)
      await send('Input.insertText', { text: what })
    },
    async click(selector) {
      const { id } = await documentOf()
      await evaluate(`${found(selector)}.click()`)
      await settled(id)
    },
    async waitForText(pattern) {
      const deadline = Date.now() + timeoutMs
      for (;;) {
        const now = await text().catch(() => '')
        if (pattern.test(now)) return now
        if (Date.now() > deadline) throw new Error(`${pattern} does not come: ${now}`)
        await delay(25)
      }
    },
    async cookies() {
      return (await connection.send<{ cookies: BrowserCookie[] }>('Storage.getCookies', { browserContextId }))
        .cookies
    },
    async frames() {
      const { targetInfos } = await connection.send<{ targetInfos: TargetInfo[] }>('Target.getTargets', {
        filter: [{ type: 'iframe' }],
      })
      const ours = targetInfos.filter((target) => target.browserContextId === browserContextId)
      return ours.map(({ url }) => url)
    },
    async screenshot(file) {
      const { data } = await send<{ data: string }>('Page.captureScreenshot', { format: 'png' })
      writeFileSync(file, Buffer.from(data, 'base64'))
    },
  }
}

interface Evaluated<T> {
  readonly result: { readonly value: T }
  readonly exceptionDetails?: { readonly text: string }
}
interface TargetInfo {
  readonly url: string
  readonly browserContextId?: string
}
