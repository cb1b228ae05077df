-- +goose Up
-- Who wants a machine of some kind, and which one it got. The unique node makes that a machine is given once.
CREATE TABLE allocations (
	id              {{serial}},
	uuid            TEXT NOT NULL UNIQUE,
	name            TEXT UNIQUE,
	node_id         BIGINT UNIQUE REFERENCES nodes (id) ON DELETE CASCADE, -- null: none yet
	state           TEXT NOT NULL, -- allocating, active, error
	owner           TEXT NOT NULL,
	resource_class  TEXT NOT NULL,
	traits          TEXT NOT NULL, -- JSON list
	candidate_nodes TEXT NOT NULL, -- JSON list of UUIDs, empty: any
	extra           TEXT NOT NULL,
	last_error      TEXT NOT NULL,
	due_at          BIGINT NOT NULL, -- when a conductor is to look for a machine, while it is allocating
	give_up_at      BIGINT NOT NULL, -- until when busy machines are waited for; 0: none was seen yet
	created_at      BIGINT NOT NULL,
	updated_at      BIGINT NOT NULL -- 0: never
);
CREATE INDEX allocations_due ON allocations (due_at) WHERE state = 'allocating';
CREATE INDEX nodes_resource_class ON nodes (resource_class) WHERE provision_state = 'available';

-- Lists of steps for cleaning and service, under a name.
CREATE TABLE runbooks (
	id              {{serial}},
	uuid            TEXT NOT NULL UNIQUE,
	name            TEXT NOT NULL UNIQUE,
	steps           {{bytes}} NOT NULL, -- sealed JSON list: arguments of steps may be private
	disable_ramdisk INTEGER NOT NULL,
	public          INTEGER NOT NULL,
	owner           TEXT NOT NULL,
	description     TEXT NOT NULL,
	extra           TEXT NOT NULL,
	created_at      BIGINT NOT NULL,
	updated_at      BIGINT NOT NULL -- 0: never
);

-- Which machines a runbook is for: those that have one of its traits.
CREATE TABLE runbook_traits (
	runbook_id BIGINT NOT NULL REFERENCES runbooks (id) ON DELETE CASCADE,
	trait      TEXT NOT NULL,
	PRIMARY KEY (runbook_id, trait)
);

-- +goose Down
DROP TABLE runbook_traits;
DROP TABLE runbooks;
DROP INDEX nodes_resource_class;
DROP TABLE allocations;
