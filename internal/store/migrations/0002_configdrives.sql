-- +goose Up
-- The config drive of a node's instance, which may have MiB: the node's instance_info has a mask in its place, so
-- that lists and saves of nodes stay light. A drive that an older program left in instance_info moves here when
-- its node is saved.
CREATE TABLE configdrives (
	node_id BIGINT PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
	sealed  {{bytes}} NOT NULL -- JSON: a string or an object
);

-- +goose Down
DROP TABLE configdrives;
