-- +goose Up
-- What an instance posted once, sealed: a password that is encrypted with its user's key. It is of one deployment, and gone
-- with the instance.
CREATE TABLE instance_passwords (
	node_id    BIGINT PRIMARY KEY REFERENCES instances (node_id) ON DELETE CASCADE,
	deploy     TEXT NOT NULL, -- as of the instance: one of another deployment is nobody's
	sealed     {{bytes}} NOT NULL,
	created_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE instance_passwords;
