-- +goose Up
-- Whether a personalization package was fetched with a user and password: these are kept nowhere, and a rebuild needs them again.
ALTER TABLE os_installs ADD COLUMN package_login INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE os_installs DROP COLUMN package_login;
