-- +goose Up
-- Every process that serves on this database, what it does and how the others reach it.
CREATE TABLE servers (
	name              TEXT PRIMARY KEY,
	place             TEXT NOT NULL,   -- id of its data folder: two servers of one name are told apart by it
	roles             TEXT NOT NULL,   -- JSON list
	peer_url          TEXT NOT NULL,   -- for other servers; '' for none
	agent_url         TEXT NOT NULL,   -- the agents' door as machines reach it; '' for none
	agent_ca          TEXT NOT NULL,   -- PEM its certificate chains to
	boot_url          TEXT NOT NULL,   -- for BMCs and machines; '' for none
	grp               TEXT NOT NULL,   -- conductor group
	version           TEXT NOT NULL,
	certificate_until BIGINT NOT NULL, -- 0: it has none
	visited           INTEGER NOT NULL, -- a boot host: it has no database, and is visited by others
	created_at        BIGINT NOT NULL,
	updated_at        BIGINT NOT NULL  -- its last sign of life
);

-- Servers that were revoked: what was issued to them until then is refused by the others.
CREATE TABLE peers_denied (
	name      TEXT PRIMARY KEY,
	denied_at BIGINT NOT NULL,
	who       TEXT NOT NULL
);

-- +goose Down
DROP TABLE peers_denied;
DROP TABLE servers;
