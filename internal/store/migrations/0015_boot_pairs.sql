-- +goose Up
-- The key pairs of one boot, for agents that are only polled: see docs/decisions/0048-who-trusts-whom-when-polled.md.
ALTER TABLE agents ADD COLUMN pairs {{bytes}}; -- sealed; NULL: the boot has none

-- +goose Down
ALTER TABLE agents DROP COLUMN pairs;
