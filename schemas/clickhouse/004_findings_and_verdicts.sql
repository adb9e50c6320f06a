CREATE TABLE IF NOT EXISTS findings_log
(
  `finding_id` String COMMENT 'Deterministic in what caused it.',
  `at` DateTime64(6, 'UTC') COMMENT 'Event time of the command that completed it.' CODEC(Delta, ZSTD(1)),
  `identity` LowCardinality(String) COMMENT 'Identity key: issuer, a bar, subject; the same key as on the bus.',
  `issuer` LowCardinality(String) COMMENT 'Issuer URL of the token.',
  `subject` LowCardinality(String) COMMENT 'Subject within the issuer.',
  `groups` Array(LowCardinality(String)) COMMENT 'Groups mapped from the token''s claims.',
  `delegation` Array(Tuple(issuer String, subject String, kind String)) COMMENT 'On whose behalf, outermost first; empty where nobody delegated.',
  `instance` String COMMENT 'One running copy of the identity: the token''s jti, or its SHA-256.',
  `session_id` String COMMENT 'Session of that command.',
  `target` LowCardinality(String) COMMENT 'Target of that command.',
  `detector` LowCardinality(String) COMMENT 'Name of the detector.',
  `feature` LowCardinality(String) COMMENT 'command-rate, data-volume, privileged-use, region, pressure, ...',
  `severity` LowCardinality(String) COMMENT 'info, warning, error or critical.',
  `score` Float64 COMMENT '-log10 of the probability under the baseline, at most 300.',
  `observed` Float64 COMMENT 'What was seen, in unit.',
  `expected` Float64 COMMENT 'What the baseline expected, in unit.',
  `unit` LowCardinality(String) COMMENT 'commands/min, bytes/min, rows, ...',
  `explanation` String COMMENT 'One sentence for a person, with the figures.',
  `command_ids` Array(String) COMMENT 'Evidence: the commands, latest last.',
  `window_start` DateTime64(6, 'UTC') COMMENT 'Start of the span that was judged.',
  `window_end` DateTime64(6, 'UTC') COMMENT 'End of the span that was judged.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits: what to encode it with again.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.' CODEC(Delta, ZSTD(1)),
  `projected_at` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the projector wrote the row; changes where a row is written again.' CODEC(Delta, ZSTD(1)),
  INDEX finding_id_bloom finding_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX identity_bloom identity TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(at)
ORDER BY (at, identity, finding_id)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Written by the projector; read `findings`.';

CREATE OR REPLACE VIEW findings
(
  `finding_id` String COMMENT 'Deterministic in what caused it.',
  `at` DateTime64(6, 'UTC') COMMENT 'Event time of the command that completed it.',
  `identity` LowCardinality(String) COMMENT 'Identity key: issuer, a bar, subject; the same key as on the bus.',
  `issuer` LowCardinality(String) COMMENT 'Issuer URL of the token.',
  `subject` LowCardinality(String) COMMENT 'Subject within the issuer.',
  `groups` Array(LowCardinality(String)) COMMENT 'Groups mapped from the token''s claims.',
  `delegation` Array(Tuple(issuer String, subject String, kind String)) COMMENT 'On whose behalf, outermost first; empty where nobody delegated.',
  `instance` String COMMENT 'One running copy of the identity: the token''s jti, or its SHA-256.',
  `session_id` String COMMENT 'Session of that command.',
  `target` LowCardinality(String) COMMENT 'Target of that command.',
  `detector` LowCardinality(String) COMMENT 'Name of the detector.',
  `feature` LowCardinality(String) COMMENT 'command-rate, data-volume, privileged-use, region, pressure, ...',
  `severity` LowCardinality(String) COMMENT 'info, warning, error or critical.',
  `score` Float64 COMMENT '-log10 of the probability under the baseline, at most 300.',
  `observed` Float64 COMMENT 'What was seen, in unit.',
  `expected` Float64 COMMENT 'What the baseline expected, in unit.',
  `unit` LowCardinality(String) COMMENT 'commands/min, bytes/min, rows, ...',
  `explanation` String COMMENT 'One sentence for a person, with the figures.',
  `command_ids` Array(String) COMMENT 'Evidence: the commands, latest last.',
  `window_start` DateTime64(6, 'UTC') COMMENT 'Start of the span that was judged.',
  `window_end` DateTime64(6, 'UTC') COMMENT 'End of the span that was judged.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits: what to encode it with again.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.',
  `projected_at` DateTime64(6, 'UTC') COMMENT 'When the projector wrote the row; changes where a row is written again.'
)
AS SELECT
  `finding_id`,
  `at`,
  `identity`,
  `issuer`,
  `subject`,
  `groups`,
  `delegation`,
  `instance`,
  `session_id`,
  `target`,
  `detector`,
  `feature`,
  `severity`,
  `score`,
  `observed`,
  `expected`,
  `unit`,
  `explanation`,
  `command_ids`,
  `window_start`,
  `window_end`,
  `schema_fingerprint`,
  `bus_partition`,
  `bus_offset`,
  `projected_at`
FROM findings_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'One row a finding.';

-- A verdict comes from the verdicts topic, or by hand from the control topic; either may be lifted by hand, in an event
-- that names only its id. So liftings are a table of their own, joined here.
CREATE TABLE IF NOT EXISTS verdicts_log
(
  `verdict_id` String COMMENT 'Deterministic in what caused it, or given by the person who issued it.',
  `state` LowCardinality(String) COMMENT 'active, or lifted before its time. Whether its time is over is for the reader''s clock: see until.',
  `action` LowCardinality(String) COMMENT 'throttle, hold, block or kill.',
  `subject_kind` LowCardinality(String) COMMENT 'identity, instance, session, token or delegation.',
  `subject_issuer` LowCardinality(String) COMMENT 'Issuer of the subject, empty for a session.',
  `subject_id` String COMMENT 'Subject, session id, or the actor''s subject.',
  `subject_instance` String COMMENT 'The jti for kinds instance and token.',
  `target` LowCardinality(String) COMMENT 'Only at this target; empty for all.',
  `issued_at` DateTime64(6, 'UTC') COMMENT 'Event time of the command that caused it, or when a person issued it.',
  `until` DateTime64(6, 'UTC') COMMENT 'Absolute end.',
  `rate_per_minute` Float64 COMMENT 'For throttle: commands a minute let through, over the whole fleet.',
  `cancel_running` Bool COMMENT 'For block: also cancels the command that is running.',
  `reason` LowCardinality(String) COMMENT 'Reason code.',
  `explanation` String COMMENT 'One sentence for a person, with the figures.',
  `findings` Array(String) COMMENT 'Ids of the findings it rests on.',
  `cause_command_id` String COMMENT 'Command that tipped it.',
  `cause_received_at` DateTime64(6, 'UTC') COMMENT 'When the proxy received that command.',
  `issued_by` LowCardinality(String) COMMENT 'analyzer, or the person who issued it.',
  `topic` LowCardinality(String) COMMENT 'Topic it was read from: verdicts, or control for those by hand.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits: what to encode it with again.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.' CODEC(Delta, ZSTD(1)),
  `projected_at` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the projector wrote the row; changes where a row is written again.' CODEC(Delta, ZSTD(1)),
  `version` UInt64 COMMENT '0 for active, 1 for lifted.'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY tuple()
ORDER BY verdict_id
COMMENT 'Written by the projector; read `verdicts`.';

CREATE TABLE IF NOT EXISTS verdict_lifts_log
(
  `verdict_id` String COMMENT 'Verdict that was lifted.',
  `lifted_at` DateTime64(6, 'UTC') COMMENT 'When.',
  `lifted_by` LowCardinality(String) COMMENT 'Who.',
  `lift_reason` String COMMENT 'Why.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits: what to encode it with again.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.' CODEC(Delta, ZSTD(1)),
  `projected_at` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the projector wrote the row; changes where a row is written again.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY tuple()
ORDER BY verdict_id
COMMENT 'Written by the projector; read `verdicts`.';

CREATE OR REPLACE VIEW verdicts
(
  `verdict_id` String COMMENT 'Deterministic in what caused it, or given by the person who issued it.',
  `state` LowCardinality(String) COMMENT 'active, or lifted before its time. Whether its time is over is for the reader''s clock: see until.',
  `action` LowCardinality(String) COMMENT 'throttle, hold, block or kill.',
  `subject_kind` LowCardinality(String) COMMENT 'identity, instance, session, token or delegation.',
  `subject_issuer` LowCardinality(String) COMMENT 'Issuer of the subject, empty for a session.',
  `subject_id` String COMMENT 'Subject, session id, or the actor''s subject.',
  `subject_instance` String COMMENT 'The jti for kinds instance and token.',
  `target` LowCardinality(String) COMMENT 'Only at this target; empty for all.',
  `issued_at` DateTime64(6, 'UTC') COMMENT 'Event time of the command that caused it, or when a person issued it.',
  `until` DateTime64(6, 'UTC') COMMENT 'Absolute end.',
  `rate_per_minute` Float64 COMMENT 'For throttle: commands a minute let through, over the whole fleet.',
  `cancel_running` Bool COMMENT 'For block: also cancels the command that is running.',
  `reason` LowCardinality(String) COMMENT 'Reason code.',
  `explanation` String COMMENT 'One sentence for a person, with the figures.',
  `findings` Array(String) COMMENT 'Ids of the findings it rests on.',
  `cause_command_id` String COMMENT 'Command that tipped it.',
  `cause_received_at` DateTime64(6, 'UTC') COMMENT 'When the proxy received that command.',
  `issued_by` LowCardinality(String) COMMENT 'analyzer, or the person who issued it.',
  `topic` LowCardinality(String) COMMENT 'Topic it was read from: verdicts, or control for those by hand.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits: what to encode it with again.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.',
  `projected_at` DateTime64(6, 'UTC') COMMENT 'When the projector wrote the row; changes where a row is written again.',
  `lifted_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was lifted by hand.',
  `lifted_by` LowCardinality(String) COMMENT 'Who lifted it by hand.',
  `lift_reason` String COMMENT 'Why.'
)
AS SELECT
  v.`verdict_id` AS `verdict_id`,
  if(l.verdict_id != '', 'lifted', v.state) AS `state`,
  v.`action` AS `action`,
  v.`subject_kind` AS `subject_kind`,
  v.`subject_issuer` AS `subject_issuer`,
  v.`subject_id` AS `subject_id`,
  v.`subject_instance` AS `subject_instance`,
  v.`target` AS `target`,
  v.`issued_at` AS `issued_at`,
  v.`until` AS `until`,
  v.`rate_per_minute` AS `rate_per_minute`,
  v.`cancel_running` AS `cancel_running`,
  v.`reason` AS `reason`,
  v.`explanation` AS `explanation`,
  v.`findings` AS `findings`,
  v.`cause_command_id` AS `cause_command_id`,
  v.`cause_received_at` AS `cause_received_at`,
  v.`issued_by` AS `issued_by`,
  v.`topic` AS `topic`,
  v.`schema_fingerprint` AS `schema_fingerprint`,
  v.`bus_partition` AS `bus_partition`,
  v.`bus_offset` AS `bus_offset`,
  v.`projected_at` AS `projected_at`,
  if(l.verdict_id != '', l.lifted_at, NULL) AS `lifted_at`,
  l.lifted_by AS `lifted_by`,
  l.lift_reason AS `lift_reason`
FROM verdicts_log AS v FINAL
LEFT JOIN (SELECT * FROM verdict_lifts_log FINAL) AS l ON l.verdict_id = v.verdict_id
COMMENT 'One row a verdict, from the analyzer or by hand.';
