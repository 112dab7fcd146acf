-- Build logs. On SQLite they live in a database file of their own, so that they do not compete with deliveries.
-- A chunk belongs to one lease; readers show the leases that count. bytes: UTF-8 text, zstd.
CREATE TABLE log_chunks (
    build_id    UUID    NOT NULL,
    lease_no    INTEGER NOT NULL,
    n           BIGINT  NOT NULL,
    phase       TEXT    NOT NULL,
    byte_offset BIGINT  NOT NULL,
    first_line  BIGINT  NOT NULL,
    byte_len    BIGINT  NOT NULL,
    lines       BIGINT  NOT NULL,
    at          BIGINT  NOT NULL,
    bytes       BYTEA   NOT NULL,
    PRIMARY KEY (build_id, lease_no, n)
);
