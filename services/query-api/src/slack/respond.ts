/**
 * Says to the one who pressed what came of it, by the press's own address
 * (https://docs.slack.dev/interactivity/handling-user-interaction#message_responses): good for 30 minutes and five answers.
 * It sends to Slack and to nowhere else, whatever the address says.
 */
export type Respond = (responseUrl: string, text: string) => Promise<void>

export interface RespondOptions {
  /** Base of the Web API, whose host stands for Slack where it is not Slack's own. */
  readonly apiUrl: string
  readonly log: { warn(about: object, message: string): void }
  /** Wait before each further try; default 500 and 3 000 ms. */
  readonly waitsMs?: readonly number[]
}

export function createRespond({ apiUrl, log, waitsMs = [500, 3_000] }: RespondOptions): Respond {
  const { origin } = new URL(apiUrl)
  return async (responseUrl, text) => {
    const url = new URL(responseUrl)
    if (url.origin !== origin && !isSlack(url)) {
      log.warn({ host: url.host }, 'a press names an address that is not of Slack: nothing was answered')
      return
    }
    for (const waitMs of [...waitsMs, undefined]) {
      const why = await tryOnce(url, text)
      if (why === undefined) return
      if (waitMs === undefined || why.isFinal) {
        log.warn({ why: why.text }, 'Slack does not take the answer to a press')
        return
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
  }
}

function isSlack({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' && /(^|\.)slack(-gov)?\.com$/.test(hostname)
}

async function tryOnce(url: URL, text: string): Promise<{ text: string; isFinal: boolean } | undefined> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body: JSON.stringify({ response_type: 'ephemeral', replace_original: false, text: escaped(text) }),
      redirect: 'error',
      signal: AbortSignal.timeout(5_000),
    })
    await response.body?.cancel()
    const isFinal = response.status >= 400 && response.status < 500 && response.status !== 429
    return response.ok ? undefined : { text: `status ${response.status}`, isFinal }
  } catch (error) {
    const { cause } = error instanceof Error ? error : {}
    const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
    return { text: `no answer${code}`, isFinal: false }
  }
}

/** https://docs.slack.dev/messaging/formatting-message-text#escaping */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
