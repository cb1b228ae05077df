-- +goose Up
-- A machine that installs itself, while it does: see docs/decisions/0068-the-channel.md. A row is of one deployment.
CREATE TABLE os_channels (
	node_id    BIGINT PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
	deploy     TEXT NOT NULL,              -- UUID of the operation
	seen_at    BIGINT NOT NULL DEFAULT 0,  -- when the machine asked first; 0: not yet
	progress   TEXT NOT NULL DEFAULT '{}', -- JSON: what it said last of how far it is
	stages     TEXT NOT NULL DEFAULT '{}', -- JSON: how far each stage was
	lost       TEXT NOT NULL DEFAULT '[]', -- JSON: names of secret parameters that it asked for and that are gone
	updated_at BIGINT NOT NULL
);

-- What the machine and the server say to each other, until the other reads it.
CREATE TABLE os_messages (
	id      {{serial}},
	node_id BIGINT NOT NULL REFERENCES os_channels (node_id) ON DELETE CASCADE,
	deploy  TEXT NOT NULL,      -- as of the channel
	reader  TEXT NOT NULL,      -- machine or server
	bytes   BIGINT NOT NULL,
	sealed  {{bytes}} NOT NULL
);
CREATE INDEX os_messages_node ON os_messages (node_id, reader, id);

-- +goose Down
DROP TABLE os_messages;
DROP TABLE os_channels;
