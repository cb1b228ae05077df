-- +goose Up
-- The process that walked the operation last; '' before the first. Waiting gives the lease back, so the
-- lease alone cannot tell that whoever began a step is gone.
ALTER TABLE operations ADD COLUMN worker TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE operations DROP COLUMN worker;
