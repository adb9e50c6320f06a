-- How people signed in, were refused, and what they allowed devices. Written by the API's replicas, by topic sign-ins.
CREATE TABLE IF NOT EXISTS sign_ins_log
(
  `event_id` String COMMENT 'Unique.',
  `kind` LowCardinality(String) COMMENT 'signed_in, refused, signed_out, device_asked, device_approved, device_denied, device_redeemed or device_refused.',
  `at` DateTime64(6, 'UTC') COMMENT 'When, by the clock of the API.' CODEC(Delta, ZSTD(1)),
  `provider` LowCardinality(String) COMMENT 'Configured name of the provider, empty where none is concerned.',
  `identity` LowCardinality(String) COMMENT 'Identity key of the person: issuer, a bar, subject; empty where nobody was proven.',
  `issuer` LowCardinality(String) COMMENT 'Issuer of the person.',
  `subject` LowCardinality(String) COMMENT 'Subject within the issuer.',
  `groups` Array(LowCardinality(String)) COMMENT 'Groups that the provider named.',
  `instance` String COMMENT 'Id of the token that was given out or ended: the instance of its sessions.',
  `address` LowCardinality(String) COMMENT 'Source address of the request.',
  `client` String COMMENT 'Client that asked in the device flow, in its own words.',
  `scope` String COMMENT 'What the device asked to be limited to; empty for no limit.',
  `ref` String COMMENT 'Id of the device flow.',
  `until` DateTime64(6, 'UTC') COMMENT 'When what was given out ends.' CODEC(Delta, ZSTD(1)),
  `reason` LowCardinality(String) COMMENT 'Code of why it was refused; empty where it was not.',
  `detail` String COMMENT 'The same in words.',
  `request_id` String COMMENT 'Id of the request, which the person was shown.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.' CODEC(Delta, ZSTD(1)),
  `projected_at` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the projector wrote the row; changes where a row is written again.' CODEC(Delta, ZSTD(1)),
  INDEX identity_bloom identity TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX request_bloom request_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(at)
ORDER BY (at, event_id)
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Written by the projector; read `sign_ins`.';

CREATE OR REPLACE VIEW sign_ins
(
  `event_id` String COMMENT 'Unique.',
  `kind` LowCardinality(String) COMMENT 'signed_in, refused, signed_out, device_asked, device_approved, device_denied, device_redeemed or device_refused.',
  `at` DateTime64(6, 'UTC') COMMENT 'When, by the clock of the API.',
  `provider` LowCardinality(String) COMMENT 'Configured name of the provider, empty where none is concerned.',
  `identity` LowCardinality(String) COMMENT 'Identity key of the person: issuer, a bar, subject; empty where nobody was proven.',
  `issuer` LowCardinality(String) COMMENT 'Issuer of the person.',
  `subject` LowCardinality(String) COMMENT 'Subject within the issuer.',
  `groups` Array(LowCardinality(String)) COMMENT 'Groups that the provider named.',
  `instance` String COMMENT 'Id of the token that was given out or ended: the instance of its sessions.',
  `address` LowCardinality(String) COMMENT 'Source address of the request.',
  `client` String COMMENT 'Client that asked in the device flow, in its own words.',
  `scope` String COMMENT 'What the device asked to be limited to; empty for no limit.',
  `ref` String COMMENT 'Id of the device flow.',
  `until` DateTime64(6, 'UTC') COMMENT 'When what was given out ends.',
  `reason` LowCardinality(String) COMMENT 'Code of why it was refused; empty where it was not.',
  `detail` String COMMENT 'The same in words.',
  `request_id` String COMMENT 'Id of the request, which the person was shown.',
  `schema_fingerprint` LowCardinality(String) COMMENT 'CRC-64-AVRO of the schema that wrote the event, 16 hex digits.',
  `bus_partition` Int32 COMMENT 'Partition of the topic it was read from.',
  `bus_offset` Int64 COMMENT 'Offset in that partition.',
  `projected_at` DateTime64(6, 'UTC') COMMENT 'When the projector wrote the row; changes where a row is written again.'
)
AS SELECT
  `event_id`,
  `kind`,
  `at`,
  `provider`,
  `identity`,
  `issuer`,
  `subject`,
  `groups`,
  `instance`,
  `address`,
  `client`,
  `scope`,
  `ref`,
  `until`,
  `reason`,
  `detail`,
  `request_id`,
  `schema_fingerprint`,
  `bus_partition`,
  `bus_offset`,
  `projected_at`
FROM sign_ins_log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'One row a step of a person signing in, or of a device that asked a person.';
