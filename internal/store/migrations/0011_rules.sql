-- +goose Up
-- What to do with a node when its inspection has found something.
CREATE TABLE inspection_rules (
	id          {{serial}},
	uuid        TEXT NOT NULL UNIQUE,
	description TEXT NOT NULL,
	priority    BIGINT NOT NULL,
	phase       TEXT NOT NULL,
	sensitive   INTEGER NOT NULL,
	body        {{bytes}} NOT NULL, -- sealed JSON object: conditions and actions, whose arguments may be secrets
	created_at  BIGINT NOT NULL,
	updated_at  BIGINT NOT NULL -- 0: never
);

-- +goose Down
DROP TABLE inspection_rules;
