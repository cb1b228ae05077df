-- +goose Up
ALTER TABLE nodes ADD COLUMN console_enabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN raid_config TEXT NOT NULL DEFAULT '{}';        -- JSON object, what the machine has
ALTER TABLE nodes ADD COLUMN target_raid_config TEXT NOT NULL DEFAULT '{}'; -- JSON object, what steps are to make of it

-- The settings of a machine's firmware as its driver read them last.
CREATE TABLE bios_settings (
	node_id    BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
	name       TEXT NOT NULL,
	value      TEXT,          -- null: not told
	registry   TEXT NOT NULL, -- JSON object: what the setting takes
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL, -- 0: never
	PRIMARY KEY (node_id, name)
);

-- The parts of a machine that have firmware, as its driver read them last.
CREATE TABLE firmware_components (
	node_id              BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
	component            TEXT NOT NULL,
	initial_version      TEXT NOT NULL, -- when it was first seen
	current_version      TEXT NOT NULL,
	last_version_flashed TEXT NOT NULL, -- by this server
	vendor               TEXT NOT NULL,
	model                TEXT NOT NULL,
	serial_number        TEXT NOT NULL,
	created_at           BIGINT NOT NULL,
	updated_at           BIGINT NOT NULL, -- 0: never
	PRIMARY KEY (node_id, component)
);

-- +goose Down
DROP TABLE firmware_components;
DROP TABLE bios_settings;
ALTER TABLE nodes DROP COLUMN target_raid_config;
ALTER TABLE nodes DROP COLUMN raid_config;
ALTER TABLE nodes DROP COLUMN console_enabled;
