-- +goose Up
-- The network boots of now: who may boot which ramdisk from the network. A row goes when its machine has left the ramdisk.
CREATE TABLE network_boots (
	node_id    BIGINT PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
	generation TEXT NOT NULL,
	key_hash   TEXT NOT NULL UNIQUE, -- SHA-256 of the key, in hex: it is found by that, and not compared
	body       {{bytes}} NOT NULL,   -- sealed JSON object, key and configuration in it
	expires    BIGINT NOT NULL,
	fetches    INTEGER NOT NULL,     -- how often the configuration was given out
	seen       TEXT NOT NULL DEFAULT '', -- what the machine asked for last
	seen_at    BIGINT NOT NULL DEFAULT 0,
	created_at BIGINT NOT NULL
);

-- The NICs that may boot them.
CREATE TABLE network_boot_macs (
	mac     TEXT PRIMARY KEY,
	node_id BIGINT NOT NULL REFERENCES network_boots (node_id) ON DELETE CASCADE
);
CREATE INDEX network_boot_macs_node ON network_boot_macs (node_id);

-- +goose Down
DROP TABLE network_boot_macs;
DROP TABLE network_boots;
