CREATE TABLE IF NOT EXISTS control_events_log
(
  `event_id` String COMMENT 'Unique; a repeated id changes nothing.',
  `aggregate_id` String COMMENT 'What it changes.',
  `type` LowCardinality(String) COMMENT 'Kind of change, such as verdict.issued.',
  `at` DateTime64(6, 'UTC') COMMENT 'When it was written.' CODEC(Delta, ZSTD(1)),
  `actor_issuer` LowCardinality(String) COMMENT 'Issuer of who made the change.',
  `actor_subject` LowCardinality(String) COMMENT 'Subject of who made the change.',
  `actor_roles` Array(LowCardinality(String)) COMMENT 'Roles held at that moment.',
  `expected_version` Int64 COMMENT 'Version of the aggregate the writer saw, -1 for any.',
  `payload` String COMMENT 'JSON of the kind''s own shape.' CODEC(ZSTD(3)),
  `accepted` Bool COMMENT 'Whether the fold accepted it; a rejected change is kept but changed nothing.',
  `rejection` LowCardinality(String) COMMENT 'Why the fold rejected it, empty where it did not.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits: what to encode it with again.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.' CODEC(Delta, ZSTD(1)),
  `projected_at` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the projector wrote the row; changes where a row is written again.' CODEC(Delta, ZSTD(1)),
  `version` UInt64 COMMENT 'Higher for the lower offset: of a repeated id the first counts, as in the fold.'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY tuple()
ORDER BY event_id
COMMENT 'Written by the projector; read `control_events`.';

CREATE OR REPLACE VIEW control_events
(
  `event_id` String COMMENT 'Unique; a repeated id changes nothing.',
  `aggregate_id` String COMMENT 'What it changes.',
  `type` LowCardinality(String) COMMENT 'Kind of change, such as verdict.issued.',
  `at` DateTime64(6, 'UTC') COMMENT 'When it was written.',
  `actor_issuer` LowCardinality(String) COMMENT 'Issuer of who made the change.',
  `actor_subject` LowCardinality(String) COMMENT 'Subject of who made the change.',
  `actor_roles` Array(LowCardinality(String)) COMMENT 'Roles held at that moment.',
  `expected_version` Int64 COMMENT 'Version of the aggregate the writer saw, -1 for any.',
  `payload` String COMMENT 'JSON of the kind''s own shape.',
  `accepted` Bool COMMENT 'Whether the fold accepted it; a rejected change is kept but changed nothing.',
  `rejection` LowCardinality(String) COMMENT 'Why the fold rejected it, empty where it did not.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits: what to encode it with again.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.',
  `projected_at` DateTime64(6, 'UTC') COMMENT 'When the projector wrote the row; changes where a row is written again.'
)
AS SELECT
  `event_id`,
  `aggregate_id`,
  `type`,
  `at`,
  `actor_issuer`,
  `actor_subject`,
  `actor_roles`,
  `expected_version`,
  `payload`,
  `accepted`,
  `rejection`,
  `schema_fingerprint`,
  `bus_partition`,
  `bus_offset`,
  `projected_at`
FROM control_events_log FINAL
COMMENT 'One row for each change of control state that was asked for.';

CREATE TABLE IF NOT EXISTS approvals_log
(
  `approval_id` String COMMENT 'Approval id.',
  `state` LowCardinality(String) COMMENT 'asked, granted, denied, used or expired.',
  `asked_at` DateTime64(6, 'UTC') COMMENT 'When the command began to wait.',
  `identity` LowCardinality(String) COMMENT 'Identity key of who waits.',
  `session_id` String COMMENT 'Session of the held command.',
  `command_id` String COMMENT 'The held command: the answer is bound to it.',
  `target` LowCardinality(String) COMMENT 'Target of the held command.',
  `text` String COMMENT 'The held command''s text.' CODEC(ZSTD(3)),
  `text_hash` String COMMENT 'SHA-256 of the exact text the answer is bound to, in hex.',
  `expires_at` DateTime64(6, 'UTC') COMMENT 'When an unanswered approval lapses.',
  `answered_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When a person answered.',
  `answered_by` LowCardinality(String) COMMENT 'Who answered.',
  `reason` String COMMENT 'What they gave as the reason.',
  `used_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When the command ran on it.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits: what to encode it with again.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.' CODEC(Delta, ZSTD(1)),
  `projected_at` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the projector wrote the row; changes where a row is written again.' CODEC(Delta, ZSTD(1)),
  `version` UInt64 COMMENT 'Offset in the control log: the latest event of an approval counts.'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY tuple()
ORDER BY approval_id
COMMENT 'Written by the projector; read `approvals`.';

CREATE OR REPLACE VIEW approvals
(
  `approval_id` String COMMENT 'Approval id.',
  `state` LowCardinality(String) COMMENT 'asked, granted, denied, used or expired.',
  `asked_at` DateTime64(6, 'UTC') COMMENT 'When the command began to wait.',
  `identity` LowCardinality(String) COMMENT 'Identity key of who waits.',
  `session_id` String COMMENT 'Session of the held command.',
  `command_id` String COMMENT 'The held command: the answer is bound to it.',
  `target` LowCardinality(String) COMMENT 'Target of the held command.',
  `text` String COMMENT 'The held command''s text.',
  `text_hash` String COMMENT 'SHA-256 of the exact text the answer is bound to, in hex.',
  `expires_at` DateTime64(6, 'UTC') COMMENT 'When an unanswered approval lapses.',
  `answered_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When a person answered.',
  `answered_by` LowCardinality(String) COMMENT 'Who answered.',
  `reason` String COMMENT 'What they gave as the reason.',
  `used_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When the command ran on it.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits: what to encode it with again.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.',
  `projected_at` DateTime64(6, 'UTC') COMMENT 'When the projector wrote the row; changes where a row is written again.'
)
AS SELECT
  `approval_id`,
  `state`,
  `asked_at`,
  `identity`,
  `session_id`,
  `command_id`,
  `target`,
  `text`,
  `text_hash`,
  `expires_at`,
  `answered_at`,
  `answered_by`,
  `reason`,
  `used_at`,
  `schema_fingerprint`,
  `bus_partition`,
  `bus_offset`,
  `projected_at`
FROM approvals_log FINAL
COMMENT 'One row an approval with its latest state.';
