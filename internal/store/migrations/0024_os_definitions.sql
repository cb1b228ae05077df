-- +goose Up
-- OS definitions: see docs/decisions/0066-os-definitions.md.
CREATE TABLE os_definitions (
	id             {{serial}},
	uuid           TEXT NOT NULL UNIQUE,
	name           TEXT NOT NULL UNIQUE,
	description    TEXT NOT NULL,
	digest         TEXT NOT NULL,
	size           BIGINT NOT NULL,      -- of the bundle, in bytes
	summary        TEXT NOT NULL,        -- JSON object: what the files say
	bundle         {{bytes}} NOT NULL,   -- sealed: files may hold passwords, and a row that somebody wrote must not pass for trusted
	trusted_digest TEXT NOT NULL,        -- trusted while it is the digest; '' is never
	trusted_by     TEXT NOT NULL,
	trusted_at     BIGINT NOT NULL,
	hidden         INTEGER NOT NULL,
	blacklisted    INTEGER NOT NULL,
	parameters     TEXT NOT NULL,        -- JSON object: public defaults by variant, '' for every one
	private        {{bytes}} NOT NULL,   -- sealed, the same of private ones
	created_at     BIGINT NOT NULL,
	updated_at     BIGINT NOT NULL       -- 0: never
);

-- Who trusted what, and when that ended.
CREATE TABLE os_trust (
	id            {{serial}},
	definition_id BIGINT NOT NULL REFERENCES os_definitions (id) ON DELETE CASCADE,
	digest        TEXT NOT NULL,
	trusted       INTEGER NOT NULL,
	who           TEXT NOT NULL,
	request       TEXT NOT NULL,
	at            BIGINT NOT NULL
);
CREATE INDEX os_trust_definition ON os_trust (definition_id);

-- How the system of a node was installed, for a rebuild.
CREATE TABLE os_installs (
	node_id       BIGINT PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
	definition_id BIGINT REFERENCES os_definitions (id), -- NULL: without one
	variant       TEXT NOT NULL,
	digest        TEXT NOT NULL,      -- of the definition, as it was then
	mode          TEXT NOT NULL,      -- run, install, self_install
	safe          INTEGER NOT NULL,
	package       TEXT NOT NULL,      -- URL of the personalization package
	parameters    TEXT NOT NULL,      -- JSON object: public ones
	private       {{bytes}} NOT NULL, -- sealed JSON object
	secrets       TEXT NOT NULL,      -- JSON list: the names of the secret ones
	updated_at    BIGINT NOT NULL
);
CREATE INDEX os_installs_definition ON os_installs (definition_id);

-- +goose Down
DROP TABLE os_installs;
DROP TABLE os_trust;
DROP TABLE os_definitions;
