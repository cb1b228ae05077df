-- +goose Up
-- The keys that seal private values. They lie here wrapped, each by every key that servers may be given ("master"): whoever
-- has only the database has none of them.
CREATE TABLE sealing_keys (
	id         TEXT PRIMARY KEY,
	state      TEXT NOT NULL,    -- coming, current, old, retired
	first      INTEGER NOT NULL, -- what it sealed names no key: there was only one
	created_at BIGINT NOT NULL,
	retired_at BIGINT NOT NULL   -- 0: it is not
);

CREATE TABLE sealing_key_wraps (
	key_id     TEXT NOT NULL REFERENCES sealing_keys (id) ON DELETE CASCADE,
	master     TEXT NOT NULL,
	wrapped    {{bytes}} NOT NULL,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (key_id, master)
);

-- What a server says of its keys with each sign of life; '' if it is too old to know of them.
ALTER TABLE servers ADD COLUMN master_key TEXT NOT NULL DEFAULT '';
ALTER TABLE servers ADD COLUMN sealing_keys TEXT NOT NULL DEFAULT ''; -- ids, divided by blanks; the one it seals with first

-- +goose Down
ALTER TABLE servers DROP COLUMN sealing_keys;
ALTER TABLE servers DROP COLUMN master_key;
DROP TABLE sealing_key_wraps;
DROP TABLE sealing_keys;
