/**
 * `aws-sm:NAME[#FIELD]`: AWS Secrets Manager (API reference, GetSecretValue), the version that is AWSCURRENT. Without a
 * field the whole text; with one, that field of a JSON object. Refuses binary secrets.
 */
import { VaultError } from '../errors.ts'
import { isObject, jsonObject } from '../http.ts'
import { fieldsOf, type Source } from '../source.ts'
import { awsRefusal, type CallAws } from './aws.ts'

export function createAwsSecrets(call: CallAws): Source {
  return {
    async read({ path, text }) {
      const answer = await call('secretsmanager', 'secretsmanager.GetSecretValue', { SecretId: path })
      if (answer.status !== 200) throw awsRefusal(answer, text)
      const { SecretString: whole } = jsonObject(answer.text, 'AWS')
      if (typeof whole !== 'string') throw new VaultError('malformed', `${text}: is a binary secret`)
      return { fields: new Map([...parts(whole), ['', whole]]) }
    },
  }
}

/** None where it is no JSON object: a password may look like anything. */
function parts(whole: string): Map<string, string> {
  try {
    const parsed: unknown = JSON.parse(whole)
    return isObject(parsed) ? fieldsOf(parsed) : new Map()
  } catch {
    return new Map()
  }
}
