-- +goose Up
ALTER TABLE nodes ADD COLUMN shard TEXT NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN parent_node TEXT NOT NULL DEFAULT ''; -- UUID
ALTER TABLE nodes ADD COLUMN health TEXT NOT NULL DEFAULT '';
CREATE INDEX nodes_shard ON nodes (shard);
CREATE INDEX nodes_parent ON nodes (parent_node);
CREATE INDEX nodes_chassis ON nodes (chassis_uuid);

-- NICs of a node that work as one.
CREATE TABLE portgroups (
	id                         {{serial}},
	uuid                       TEXT NOT NULL UNIQUE,
	node_id                    BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
	address                    TEXT UNIQUE,
	name                       TEXT UNIQUE,
	extra                      TEXT NOT NULL,
	internal_info              TEXT NOT NULL,
	standalone_ports_supported INTEGER NOT NULL,
	mode                       TEXT NOT NULL,
	properties                 TEXT NOT NULL,
	physical_network           TEXT NOT NULL,
	category                   TEXT NOT NULL,
	dynamic_portgroup          INTEGER NOT NULL,
	created_at                 BIGINT NOT NULL,
	updated_at                 BIGINT NOT NULL -- 0: never
);
CREATE INDEX portgroups_node ON portgroups (node_id);

ALTER TABLE ports ADD COLUMN portgroup_id BIGINT REFERENCES portgroups (id) ON DELETE SET NULL;
ALTER TABLE ports ADD COLUMN vendor TEXT NOT NULL DEFAULT '';
ALTER TABLE ports ADD COLUMN category TEXT NOT NULL DEFAULT '';
ALTER TABLE ports ADD COLUMN available_for_dynamic_portgroup INTEGER NOT NULL DEFAULT 1;
CREATE INDEX ports_portgroup ON ports (portgroup_id);

-- What nodes are built into. Nodes name theirs by UUID.
CREATE TABLE chassis (
	id          {{serial}},
	uuid        TEXT NOT NULL UNIQUE,
	description TEXT NOT NULL,
	extra       TEXT NOT NULL,
	created_at  BIGINT NOT NULL,
	updated_at  BIGINT NOT NULL -- 0: never
);

-- How a node identifies itself to remote storage.
CREATE TABLE volume_connectors (
	id           {{serial}},
	uuid         TEXT NOT NULL UNIQUE,
	node_id      BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
	type         TEXT NOT NULL,
	connector_id TEXT NOT NULL,
	extra        TEXT NOT NULL,
	created_at   BIGINT NOT NULL,
	updated_at   BIGINT NOT NULL, -- 0: never
	CONSTRAINT volume_connectors_connector_id_key UNIQUE (type, connector_id)
);
CREATE INDEX volume_connectors_node ON volume_connectors (node_id);

-- The remote disks of a node.
CREATE TABLE volume_targets (
	id          {{serial}},
	uuid        TEXT NOT NULL UNIQUE,
	node_id     BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
	volume_type TEXT NOT NULL,
	volume_id   TEXT NOT NULL,
	boot_index  BIGINT NOT NULL,
	properties  {{bytes}} NOT NULL, -- sealed JSON object: how to log in is among them
	extra       TEXT NOT NULL,
	created_at  BIGINT NOT NULL,
	updated_at  BIGINT NOT NULL, -- 0: never
	CONSTRAINT volume_targets_boot_index_key UNIQUE (node_id, boot_index)
);

-- +goose Down
DROP TABLE volume_targets;
DROP TABLE volume_connectors;
DROP TABLE chassis;
DROP INDEX ports_portgroup;
ALTER TABLE ports DROP COLUMN available_for_dynamic_portgroup;
ALTER TABLE ports DROP COLUMN category;
ALTER TABLE ports DROP COLUMN vendor;
ALTER TABLE ports DROP COLUMN portgroup_id;
DROP TABLE portgroups;
DROP INDEX nodes_chassis;
DROP INDEX nodes_parent;
DROP INDEX nodes_shard;
ALTER TABLE nodes DROP COLUMN health;
ALTER TABLE nodes DROP COLUMN parent_node;
ALTER TABLE nodes DROP COLUMN shard;
