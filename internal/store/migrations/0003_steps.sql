-- +goose Up
ALTER TABLE nodes ADD COLUMN service_step TEXT NOT NULL DEFAULT '{}';

-- What a machine can do, in words. Deploy templates are named like the traits that ask for them.
CREATE TABLE node_traits (
	node_id BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
	trait   TEXT NOT NULL,
	PRIMARY KEY (node_id, trait)
);

CREATE TABLE deploy_templates (
	id         {{serial}},
	uuid       TEXT NOT NULL UNIQUE,
	name       TEXT NOT NULL UNIQUE,
	steps      {{bytes}} NOT NULL, -- sealed JSON list: arguments of steps may be private
	extra      TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL -- 0: never
);

-- +goose Down
DROP TABLE deploy_templates;
DROP TABLE node_traits;
ALTER TABLE nodes DROP COLUMN service_step;
