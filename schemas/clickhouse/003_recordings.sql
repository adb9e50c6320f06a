CREATE TABLE IF NOT EXISTS recordings_log
(
  `event_id` String COMMENT 'Deterministic: session and chunk number.',
  `session_id` String COMMENT 'Session it belongs to.',
  `chunk` Int64 COMMENT '1, 2, 3 ... within the session, gap-free.',
  `command_id` String COMMENT 'Command that was running, empty where none.',
  `stream` LowCardinality(String) COMMENT 'output, input, error, resize, marker or exit.',
  `at` DateTime64(6, 'UTC') COMMENT 'When it was shown.' CODEC(Delta, ZSTD(1)),
  `data` String COMMENT 'The bytes, after masking; not always text.' CODEC(ZSTD(3)),
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits: what to encode it with again.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.' CODEC(Delta, ZSTD(1)),
  `projected_at` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the projector wrote the row; changes where a row is written again.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(at)
ORDER BY (session_id, chunk)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Written by the projector; read `recordings`.';

CREATE OR REPLACE VIEW recordings
(
  `event_id` String COMMENT 'Deterministic: session and chunk number.',
  `session_id` String COMMENT 'Session it belongs to.',
  `chunk` Int64 COMMENT '1, 2, 3 ... within the session, gap-free.',
  `command_id` String COMMENT 'Command that was running, empty where none.',
  `stream` LowCardinality(String) COMMENT 'output, input, error, resize, marker or exit.',
  `at` DateTime64(6, 'UTC') COMMENT 'When it was shown.',
  `data` String COMMENT 'The bytes, after masking; not always text.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits: what to encode it with again.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.',
  `projected_at` DateTime64(6, 'UTC') COMMENT 'When the projector wrote the row; changes where a row is written again.'
)
AS SELECT
  `event_id`,
  `session_id`,
  `chunk`,
  `command_id`,
  `stream`,
  `at`,
  `data`,
  `schema_fingerprint`,
  `bus_partition`,
  `bus_offset`,
  `projected_at`
FROM recordings_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'One row for each chunk of what a session showed.';
