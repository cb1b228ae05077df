-- +goose Up
-- Whether the agent of this boot calls nobody and is asked instead.
ALTER TABLE agents ADD COLUMN poll_only INTEGER NOT NULL DEFAULT 0;

-- The agents that are asked, and for what: a row is there since an operation first waited for its agent. It is due only while
-- one does.
CREATE TABLE agent_polls (
	node_id     BIGINT PRIMARY KEY REFERENCES agents (node_id) ON DELETE CASCADE,
	boot        TEXT NOT NULL,             -- of the agent
	awaits      TEXT NOT NULL,             -- answer, command or sign
	wait        TEXT NOT NULL,             -- which of the operation's waits this is
	driver      TEXT NOT NULL,             -- as in operations
	grp         TEXT NOT NULL,
	due_at      BIGINT NOT NULL,           -- while it is leased: when the lease ends
	lease_owner TEXT NOT NULL DEFAULT '',
	generation  BIGINT NOT NULL DEFAULT 0, -- of the lease
	failures    INTEGER NOT NULL DEFAULT 0, -- in a row
	address     TEXT NOT NULL DEFAULT '',  -- that was asked last
	error       TEXT NOT NULL DEFAULT '',  -- what came of it, '' for an answer
	every       BIGINT NOT NULL DEFAULT 0, -- after what time it was to be asked again
	refusal     TEXT NOT NULL DEFAULT ''   -- why this agent is never going to do
);
CREATE INDEX agent_polls_due ON agent_polls (due_at);

-- +goose Down
DROP TABLE agent_polls;
ALTER TABLE agents DROP COLUMN poll_only;
