/**
 * Calls to AWS, signed by Signature Version 4 (aws4fetch: 11 KB and no dependencies, against 40 packages of the SDK's
 * client). Credentials from references, else from the variables that AWS tools share, else by web identity
 * (AssumeRoleWithWebIdentity, AWS STS API reference), which is how EKS gives a pod its role.
 *
 * Refuses to look anywhere else: the metadata service of a machine would lend the gate whatever role the machine has.
 */
import type { Clock } from '@portcullis/kernel'
import { AwsV4Signer } from 'aws4fetch'
import { VaultError } from '../errors.ts'
import { type Answer, exchange } from '../http.ts'
import { refusedAs } from '../source.ts'
import { type ReadLocal, readFile } from './local.ts'

export interface AwsSettings {
  readonly region: string
  /** In place of `https://SERVICE.REGION.amazonaws.com`, for a VPC endpoint. */
  readonly endpoint?: string | undefined
  /** PEM. */
  readonly ca?: string | undefined
  readonly credentials?:
    | {
        readonly accessKeyId: string
        readonly secretAccessKey: string
        readonly sessionToken?: string | undefined
      }
    | undefined
  readonly webIdentity?:
    | { readonly roleArn: string; readonly tokenFile: string; readonly stsEndpoint?: string | undefined }
    | undefined
  /** Of one exchange. */
  readonly timeoutMs: number
}

export interface AwsKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
}

/** One call of a JSON protocol. Rejects with VaultError where there is no answer. */
export type CallAws = (service: string, target: string, body: object) => Promise<Answer>

const whose = 'AWS'
/** Taken anew this long before they are over. */
const marginMs = 300_000

export function createAws(settings: AwsSettings, deps: { clock: Clock; readLocal: ReadLocal }): CallAws {
  const { region, endpoint, ca, timeoutMs } = settings
  const keysNow = createKeys(settings, deps)
  return async (service, target, body) => {
    const url = new URL(endpoint ?? serverOf(service, region))
    const { accessKeyId, secretAccessKey, sessionToken } = await keysNow()
    const signed = await new AwsV4Signer({
      method: 'POST',
      url: url.href,
      headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target },
      body: JSON.stringify(body),
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== '' && { sessionToken }),
      service,
      region,
      // The content-type too, which the library leaves out by default.
      allHeaders: true,
    }).sign()
    const headers = Object.fromEntries(signed.headers as unknown as Iterable<[string, string]>)
    return exchange(url, { method: 'POST', headers, body: JSON.stringify(body), timeoutMs, ca })
  }
}

/** Of the commercial regions and China's; others are named as `endpoint`. */
function serverOf(service: string, region: string): string {
  return `https://${service}.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}/`
}

/** The name of what went wrong, which AWS gives as `__type`, without anything else of its words. */
export function awsRefusal({ status, text }: Answer, subject: string): VaultError {
  const type = /"__type"\s*:\s*"(?:[^"#]*#)?([A-Za-z]{1,80})"/.exec(text)?.[1] ?? ''
  if (type === 'ResourceNotFoundException' || type === 'NotFoundException')
    return refusedAs(404, whose, subject)
  if (
    /^(?:AccessDenied|UnrecognizedClient|InvalidSignature|ExpiredToken|InvalidClientTokenId|IncompleteSignature)/.test(
      type,
    )
  )
    return new VaultError('denied', `${subject}: AWS does not let the gate read it (${type})`)
  if (/^(?:Throttling|InternalService|ServiceUnavailable)/.test(type)) return refusedAs(503, whose, subject)
  return type === ''
    ? refusedAs(status, whose, subject)
    : new VaultError('malformed', `${subject}: AWS refused the request (${type})`)
}

function createKeys(
  { credentials, webIdentity, region, ca, timeoutMs }: AwsSettings,
  { clock, readLocal }: { clock: Clock; readLocal: ReadLocal },
): () => Promise<AwsKeys> {
  let taken: { readonly keys: AwsKeys; readonly untilUs: number } | undefined
  let running: Promise<AwsKeys> | undefined

  async function take(roleArn: string, tokenFile: string, stsEndpoint: string): Promise<AwsKeys> {
    const body = new URLSearchParams({
      Action: 'AssumeRoleWithWebIdentity',
      Version: '2011-06-15',
      RoleArn: roleArn,
      RoleSessionName: 'portcullis',
      WebIdentityToken: readFile(tokenFile),
    }).toString()
    const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/xml' }
    const answer = await exchange(new URL(stsEndpoint), { method: 'POST', headers, body, timeoutMs, ca })
    if (answer.status === 400 || answer.status === 403)
      throw new VaultError(
        'denied',
        `AWS STS does not let the gate take the role ${roleArn} (status ${answer.status})`,
      )
    if (answer.status !== 200) throw refusedAs(answer.status, 'AWS STS', roleArn)
    const part = (name: string) =>
      new RegExp(`<${name}>([^<]{1,4096})</${name}>`).exec(answer.text)?.[1] ?? ''
    const keys = {
      accessKeyId: part('AccessKeyId'),
      secretAccessKey: part('SecretAccessKey'),
      sessionToken: part('SessionToken'),
    }
    const endsMs = Date.parse(part('Expiration'))
    if (keys.accessKeyId === '' || keys.secretAccessKey === '' || Number.isNaN(endsMs))
      throw new VaultError('malformed', 'AWS STS answered without credentials')
    taken = { keys, untilUs: (endsMs - marginMs) * 1000 }
    return keys
  }

  return async () => {
    if (credentials)
      return {
        accessKeyId: readLocal(credentials.accessKeyId),
        secretAccessKey: readLocal(credentials.secretAccessKey),
        sessionToken: credentials.sessionToken === undefined ? '' : readLocal(credentials.sessionToken),
      }
    const { env } = process
    if (!webIdentity && env.AWS_ACCESS_KEY_ID && env.AWS_SECRET_ACCESS_KEY)
      return {
        accessKeyId: env.AWS_ACCESS_KEY_ID,
        secretAccessKey: env.AWS_SECRET_ACCESS_KEY,
        sessionToken: env.AWS_SESSION_TOKEN ?? '',
      }
    const roleArn = webIdentity?.roleArn ?? env.AWS_ROLE_ARN
    const tokenFile = webIdentity?.tokenFile ?? env.AWS_WEB_IDENTITY_TOKEN_FILE
    if (!roleArn || !tokenFile) throw new VaultError('denied', 'the gate has no credentials for AWS')
    if (taken && clock.nowUs() < taken.untilUs) return taken.keys
    const sts = webIdentity?.stsEndpoint ?? serverOf('sts', region)
    running ??= take(roleArn, tokenFile, sts).finally(() => {
      running = undefined
    })
    return running
  }
}
