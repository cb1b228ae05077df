-- +goose Up
-- One row: a known text, sealed with the key that seals everything else.
CREATE TABLE key_check (
	id     INTEGER PRIMARY KEY,
	sealed {{bytes}} NOT NULL
);

CREATE TABLE nodes (
	id                     {{serial}},
	uuid                   TEXT NOT NULL UNIQUE,
	name                   TEXT UNIQUE,
	driver                 TEXT NOT NULL,
	driver_info            {{bytes}} NOT NULL, -- sealed JSON object
	instance_info          {{bytes}} NOT NULL, -- sealed JSON object
	properties             TEXT NOT NULL,
	extra                  TEXT NOT NULL,
	internal_info          TEXT NOT NULL,
	network_data           TEXT NOT NULL,
	interfaces             TEXT NOT NULL,
	resource_class         TEXT NOT NULL,
	conductor_group        TEXT NOT NULL,
	owner                  TEXT NOT NULL,
	lessee                 TEXT NOT NULL,
	description            TEXT NOT NULL,
	instance_uuid          TEXT UNIQUE,
	instance_name          TEXT NOT NULL,
	chassis_uuid           TEXT NOT NULL,
	automated_clean        INTEGER, -- null: as the server is configured
	provision_state        TEXT NOT NULL,
	target_provision_state TEXT NOT NULL,
	provision_updated_at   BIGINT NOT NULL,
	power_state            TEXT NOT NULL,
	target_power_state     TEXT NOT NULL,
	last_error             TEXT NOT NULL,
	maintenance            INTEGER NOT NULL,
	maintenance_reason     TEXT NOT NULL,
	fault                  TEXT NOT NULL,
	protected              INTEGER NOT NULL,
	protected_reason       TEXT NOT NULL,
	retired                INTEGER NOT NULL,
	retired_reason         TEXT NOT NULL,
	disable_power_off      INTEGER NOT NULL,
	clean_step             TEXT NOT NULL,
	deploy_step            TEXT NOT NULL,
	boot_mode              TEXT NOT NULL,
	secure_boot            INTEGER,
	created_at             BIGINT NOT NULL,
	updated_at             BIGINT NOT NULL -- 0: never
);
CREATE INDEX nodes_provision_state ON nodes (provision_state);

CREATE TABLE ports (
	id                    {{serial}},
	uuid                  TEXT NOT NULL UNIQUE,
	node_id               BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
	address               TEXT NOT NULL UNIQUE,
	name                  TEXT UNIQUE,
	extra                 TEXT NOT NULL,
	internal_info         TEXT NOT NULL,
	local_link_connection TEXT NOT NULL,
	pxe_enabled           INTEGER NOT NULL,
	physical_network      TEXT NOT NULL,
	is_smartnic           INTEGER NOT NULL,
	description           TEXT NOT NULL,
	created_at            BIGINT NOT NULL,
	updated_at            BIGINT NOT NULL
);
CREATE INDEX ports_node ON ports (node_id);

CREATE TABLE operations (
	id            {{serial}},
	uuid          TEXT NOT NULL UNIQUE,
	node_id       BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
	exclusive     INTEGER NOT NULL,
	verb          TEXT NOT NULL,
	plan          TEXT NOT NULL,
	plan_version  INTEGER NOT NULL,
	status        TEXT NOT NULL, -- live, done, failed
	step          INTEGER NOT NULL,
	step_name     TEXT NOT NULL,
	steps_total   INTEGER NOT NULL, -- of the plan; 0 until it was first worked on
	undoing       INTEGER NOT NULL,
	record        {{bytes}} NOT NULL, -- sealed JSON object, the plan's own memory
	tried         INTEGER NOT NULL,   -- at-most-once mark: the effect of the current step was begun
	attempts      INTEGER NOT NULL,
	lease_owner   TEXT NOT NULL,
	lease_until   BIGINT NOT NULL,
	generation    BIGINT NOT NULL,
	due_at        BIGINT NOT NULL,
	waiting_for   TEXT NOT NULL, -- the event that wakes it, '' for none
	waiting_why   TEXT NOT NULL,
	step_since    BIGINT NOT NULL,
	step_limit    BIGINT NOT NULL, -- when the step fails, 0: never
	abort         TEXT NOT NULL,   -- who asked to stop it, '' for nobody
	error         TEXT NOT NULL,
	result        TEXT NOT NULL,
	progress      TEXT NOT NULL,
	requested_by  TEXT NOT NULL,
	request_id    TEXT NOT NULL,
	driver        TEXT NOT NULL,
	grp           TEXT NOT NULL, -- conductor group of the node
	worker        TEXT NOT NULL, -- the process that walked it last, '' before the first; a waiting one has no lease to tell
	created_at    BIGINT NOT NULL,
	finished_at   BIGINT NOT NULL
);
-- One live exclusive operation per node: this index is the node's lock.
CREATE UNIQUE INDEX operations_one_live ON operations (node_id) WHERE status = 'live' AND exclusive = 1;
CREATE INDEX operations_due ON operations (due_at) WHERE status = 'live';
CREATE INDEX operations_node ON operations (node_id, id);

CREATE TABLE events (
	id         {{serial}},
	uuid       TEXT NOT NULL UNIQUE,
	node_id    BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
	operation  TEXT NOT NULL,
	at         BIGINT NOT NULL,
	kind       TEXT NOT NULL,
	who        TEXT NOT NULL,
	verb       TEXT NOT NULL,
	step       TEXT NOT NULL,
	from_state TEXT NOT NULL,
	to_state   TEXT NOT NULL,
	why        TEXT NOT NULL,
	severity   TEXT NOT NULL
);
CREATE INDEX events_node ON events (node_id, id);

-- The agent of a node's current boot. A new boot replaces the row, so an old token is worth nothing.
CREATE TABLE agents (
	node_id        BIGINT PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
	boot           TEXT NOT NULL,      -- boot generation: a random id made for each boot
	token          {{bytes}} NOT NULL, -- sealed
	pregenerated   INTEGER NOT NULL,   -- the token travelled inside the boot media
	handed_out     INTEGER NOT NULL,   -- a lookup was answered with the token
	url            TEXT NOT NULL,
	verify_ca      TEXT NOT NULL,
	version        TEXT NOT NULL,
	last_heartbeat BIGINT NOT NULL,    -- 0: none yet
	created_at     BIGINT NOT NULL
);

CREATE TABLE conductors (
	hostname   TEXT PRIMARY KEY,
	grp        TEXT NOT NULL,
	drivers    TEXT NOT NULL, -- JSON list of hardware types
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL
);

CREATE TABLE logs (
	id        {{serial}},
	node_id   BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
	operation TEXT NOT NULL,
	name      TEXT NOT NULL,
	at        BIGINT NOT NULL,
	size      BIGINT NOT NULL,
	data      {{bytes}} NOT NULL -- sealed
);
CREATE INDEX logs_node ON logs (node_id, id);

-- +goose Down
DROP TABLE logs;
DROP TABLE conductors;
DROP TABLE agents;
DROP TABLE events;
DROP TABLE operations;
DROP TABLE ports;
DROP TABLE nodes;
DROP TABLE key_check;
