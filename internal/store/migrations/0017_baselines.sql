-- +goose Up
-- What of a machine's firmware a tenant could change, as it is to be: see docs/decisions/0052-erase-certificates.md.
CREATE TABLE baselines (
	node_id  BIGINT PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
	state    TEXT NOT NULL,   -- JSON, metal.FirmwareState
	by_whom  TEXT NOT NULL,
	at       BIGINT NOT NULL,
	seen     TEXT NOT NULL DEFAULT '', -- the same as state, after the last cleaning
	seen_at  BIGINT NOT NULL DEFAULT 0
);

-- +goose Down
DROP TABLE baselines;
