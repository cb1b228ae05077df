-- +goose Up
ALTER TABLE nodes ADD COLUMN inspection_started_at BIGINT NOT NULL DEFAULT 0;  -- 0: none under way
ALTER TABLE nodes ADD COLUMN inspection_finished_at BIGINT NOT NULL DEFAULT 0; -- 0: never, or under way

-- What the last inspection of a node found: serial numbers and addresses, no secrets.
CREATE TABLE inventories (
	node_id   BIGINT PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
	inventory TEXT NOT NULL, -- JSON object, as the machine or its BMC told it
	plugins   TEXT NOT NULL, -- JSON object, what came with it
	at        BIGINT NOT NULL
);

-- What a machine under inspection reported by itself, until its operation has read it. boot is the boot
-- it belongs to: a later boot's operation does not take it.
CREATE TABLE reports (
	node_id   BIGINT PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
	boot      TEXT NOT NULL,
	trusted   INTEGER NOT NULL, -- it came with the token of the boot
	inventory TEXT NOT NULL,
	plugins   TEXT NOT NULL,
	at        BIGINT NOT NULL
);

-- Work that comes round by itself. A row is claimed like an operation. Most rows are of a kind, a slice of
-- the nodes of one driver and conductor group each; a node has a row of its own only while it is in trouble.
CREATE TABLE sweeps (
	id          {{serial}},
	kind        TEXT NOT NULL,
	node_id     BIGINT REFERENCES nodes (id) ON DELETE CASCADE, -- null: of a kind
	driver      TEXT NOT NULL, -- '': any conductor may do it
	grp         TEXT NOT NULL,
	slice       BIGINT NOT NULL,
	due_at      BIGINT NOT NULL,
	lease_owner TEXT NOT NULL,
	lease_until BIGINT NOT NULL,
	generation  BIGINT NOT NULL,
	failures    BIGINT NOT NULL, -- in a row
	note        TEXT NOT NULL    -- the last failure, for people
);
CREATE UNIQUE INDEX sweeps_of_node ON sweeps (node_id, kind) WHERE node_id IS NOT NULL;
CREATE UNIQUE INDEX sweeps_of_kind ON sweeps (kind, driver, grp, slice) WHERE node_id IS NULL;
CREATE INDEX sweeps_due ON sweeps (due_at);

-- +goose Down
DROP TABLE sweeps;
DROP TABLE reports;
DROP TABLE inventories;
ALTER TABLE nodes DROP COLUMN inspection_finished_at;
ALTER TABLE nodes DROP COLUMN inspection_started_at;
