-- +goose Up
-- How many operations of a kind live at a time is limited: see docs/decisions/0055-slots.md.
ALTER TABLE operations ADD COLUMN slot TEXT NOT NULL DEFAULT ''; -- the kind; '' for operations that need none
ALTER TABLE operations ADD COLUMN queued INTEGER NOT NULL DEFAULT 0; -- it stands in line for the slot
UPDATE operations SET slot = 'deploy' WHERE status = 'live' AND plan = 'deploy';
UPDATE operations SET slot = 'clean' WHERE status = 'live' AND plan IN ('clean', 'manual clean', 'tear down', 'service');
CREATE INDEX operations_slots ON operations (queued, slot, id) WHERE status = 'live' AND slot <> '';

-- +goose Down
DROP INDEX operations_slots;
ALTER TABLE operations DROP COLUMN queued;
ALTER TABLE operations DROP COLUMN slot;
