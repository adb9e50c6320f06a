/**
 * From a row of the public views back to the event, as an auditor's own script would: times as microseconds, hashes as
 * the views show them. The codec has the last word: it refuses what is not an event.
 */
import type { CommandEvent, SessionEvent } from '@portcullis/kernel'
import type { Codecs } from '@portcullis/platform/codec'

export interface Flat {
  readonly [column: string]: unknown
}

export function commandOf(codecs: Codecs, row: Flat): CommandEvent {
  const masked = row.masked as { column: string; value_count: number }[]
  const event = {
    ...shared(row),
    identity: identityOf(row),
    commandId: row.command_id,
    stage: row.stage,
    text: row.text,
    textBytes: row.text_bytes,
    fingerprint: row.fingerprint,
    verb: row.verb,
    effects: row.effects,
    objects: row.objects,
    privileged: row.privileged,
    attributes: row.attributes,
    outcome: row.outcome === '' ? null : row.outcome,
    errorCode: row.error_code,
    tag: row.tag,
    rowsIn: row.rows_in,
    rowsAffected: row.rows_affected,
    masked: masked.map(({ column, value_count }) => ({ column, values: value_count })),
    durationUs: row.duration_us,
  }
  return codecs.command.decode(codecs.command.encode(event as CommandEvent))
}

export function sessionOf(codecs: Codecs, row: Flat): SessionEvent {
  const event = {
    ...shared(row),
    identity: row.has_identity ? identityOf(row) : null,
    at: row.at,
    client: row.client,
    tls: row.tls,
    tokenExpiresAt: row.token_expires_at,
    detail: row.detail,
    commands: row.commands,
  }
  return codecs.session.decode(codecs.session.encode(event as SessionEvent))
}

function shared(row: Flat) {
  return {
    link: {
      recorder: row.recorder,
      seq: row.seq,
      prevHash: Buffer.from(String(row.prev_hash), 'hex'),
      hash: Buffer.from(String(row.hash), 'hex'),
    },
    target: row.target,
    role: row.role,
    database: row.database,
    protocol: row.protocol,
    origin: {
      address: row.origin_address,
      country: row.origin_country,
      region: row.origin_region,
      asn: row.origin_asn,
      asOrg: row.origin_as_org,
    },
    decision: {
      id: row.decision_id,
      action: row.decision_action,
      reason: row.decision_reason,
      rule: row.decision_rule,
      verdictId: row.decision_verdict_id,
      approvalId: row.decision_approval_id,
      policyVersion: row.decision_policy_version,
      enforced: row.decision_enforced,
      delayUs: row.decision_delay_us,
    },
    proxy: { name: row.proxy_name, version: row.proxy_version },
    eventId: row.event_id,
    phase: row.phase,
    sessionId: row.session_id,
    bytesIn: row.bytes_in,
    bytesOut: row.bytes_out,
    rowsOut: row.rows_out,
    startedAt: row.started_at,
  }
}

function identityOf(row: Flat) {
  return {
    issuer: row.issuer,
    subject: row.subject,
    groups: row.groups,
    delegation: row.delegation,
    instance: row.instance,
    task: row.task,
    ancestors: row.ancestors,
  }
}
