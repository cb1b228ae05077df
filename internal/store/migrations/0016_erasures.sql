-- +goose Up
-- The keys that erase certificates are signed with. The newest signs; older ones stay, for what they signed.
CREATE TABLE signing_keys (
	id         TEXT PRIMARY KEY, -- SHA-256 of the public key, hex
	public     TEXT NOT NULL,    -- PEM
	sealed     {{bytes}} NOT NULL, -- the Ed25519 seed
	created_at BIGINT NOT NULL
);

-- Erase certificates: see docs/decisions/0052-erase-certificates.md. They outlive what their node is used for next, and the node.
CREATE TABLE erasures (
	uuid       TEXT PRIMARY KEY,
	node       TEXT NOT NULL, -- UUID
	operation  TEXT NOT NULL, -- UUID
	device     TEXT NOT NULL, -- name, within the operation's boot
	whole      INTEGER NOT NULL, -- 0: metadata only
	body       TEXT NOT NULL, -- JSON, metal.SignedErasure
	created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX erasures_once ON erasures (operation, device);
CREATE INDEX erasures_node ON erasures (node);

-- +goose Down
DROP TABLE erasures;
DROP TABLE signing_keys;
