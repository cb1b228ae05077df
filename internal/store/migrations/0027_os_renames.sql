-- +goose Up
-- The name that an instance was given by a rename; '' is none. A rebuild keeps it. See docs/decisions/0072-export-import-rename.md.
ALTER TABLE os_installs ADD COLUMN instance_name TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE os_installs DROP COLUMN instance_name;
