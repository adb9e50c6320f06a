import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OauthError } from './oauth-error.ts'
import { readTradeForm } from './trade-form.ts'

function whyOf(body: string): string {
  try {
    readTradeForm(new URLSearchParams(body))
  } catch (error) {
    if (error instanceof OauthError) return error.message
    throw error
  }
  return 'read'
}

/** Anyone may post one; asking for each parameter by its name used to take most of a second. */
test('as many parameters as a body holds are read within milliseconds', () => {
  const body = Array.from({ length: 17_000 }, (_, index) => index.toString(36)).join('&')
  const before = process.cpuUsage()
  assert.equal(whyOf(body), 'grant_type is missing')
  assert.ok(process.cpuUsage(before).user < 200_000, 'microseconds of CPU')
})

test('a parameter that comes twice is refused, wherever it stands; resource and audience may', () => {
  assert.match(whyOf('scope=a&grant_type=x&scope=b'), /"scope" comes more than once/)
  assert.match(whyOf('resource=a&resource=b&audience=c&audience=d'), /grant_type is missing/)
})
