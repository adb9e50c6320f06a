-- What the projector keeps with its results: where to go on, and what it could not read.

CREATE TABLE IF NOT EXISTS projector_progress
(
  `topic` LowCardinality(String) COMMENT 'Topic of the bus.',
  `partition` Int32 COMMENT 'Its partition.',
  `next_offset` Int64 COMMENT 'First offset whose rows may not be here yet; written only after the rows before it were.',
  `published_at` DateTime64(6, 'UTC') COMMENT 'When the bus took the record before it.',
  `projected_at` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When this was written.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(next_offset)
PARTITION BY tuple()
ORDER BY (topic, partition)
COMMENT 'Where the projector goes on after a restart: the highest next_offset counts.';

CREATE TABLE IF NOT EXISTS dead_letters_log
(
  `topic` LowCardinality(String) COMMENT 'Topic of the record.',
  `partition` Int32 COMMENT 'Partition of the record.',
  `offset` Int64 COMMENT 'Offset of the record.',
  `key` String COMMENT 'Key of the record.',
  `value` String COMMENT 'Its bytes, as they came.' CODEC(ZSTD(3)),
  `reason` String COMMENT 'Why it could not be projected.',
  `published_at` DateTime64(6, 'UTC') COMMENT 'When the bus took it.',
  `projected_at` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the projector gave it up.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY tuple()
ORDER BY (topic, partition, offset)
COMMENT 'Written by the projector; read `dead_letters`.';

CREATE OR REPLACE VIEW dead_letters
(
  `topic` LowCardinality(String) COMMENT 'Topic of the record.',
  `partition` Int32 COMMENT 'Partition of the record.',
  `offset` Int64 COMMENT 'Offset of the record.',
  `key` String COMMENT 'Key of the record.',
  `value` String COMMENT 'Its bytes, as they came.',
  `reason` String COMMENT 'Why it could not be projected.',
  `published_at` DateTime64(6, 'UTC') COMMENT 'When the bus took it.',
  `projected_at` DateTime64(6, 'UTC') COMMENT 'When the projector gave it up.'
)
AS SELECT
  `topic`,
  `partition`,
  `offset`,
  `key`,
  `value`,
  `reason`,
  `published_at`,
  `projected_at`
FROM dead_letters_log FINAL
COMMENT 'One row for each record of the bus that could not be projected.';
