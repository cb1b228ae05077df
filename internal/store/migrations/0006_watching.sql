-- +goose Up
-- Where a request came from in a distributed trace (W3C traceparent), '' for untraced: whoever resumes goes on in it.
ALTER TABLE operations ADD COLUMN trace_parent TEXT NOT NULL DEFAULT '';

-- The place of an event in the feed of all events; 0: it has none yet. Ids are given out before the commit and may be
-- committed out of order; places are given to what is committed, by one transaction at a time.
ALTER TABLE events ADD COLUMN place BIGINT NOT NULL DEFAULT 0;
CREATE INDEX events_unplaced ON events (id) WHERE place = 0;
CREATE UNIQUE INDEX events_place ON events (place) WHERE place > 0;
CREATE INDEX events_node_place ON events (node_id, place) WHERE place > 0;

-- One row: the last place that was given. Its lock makes places be given one transaction after the other, and it
-- never goes back, whatever is deleted.
CREATE TABLE feed (
	id   INTEGER PRIMARY KEY,
	last BIGINT NOT NULL
);
INSERT INTO feed (id, last) VALUES (1, 0);

-- +goose Down
DROP TABLE feed;
DROP INDEX events_node_place;
DROP INDEX events_place;
DROP INDEX events_unplaced;
ALTER TABLE events DROP COLUMN place;
ALTER TABLE operations DROP COLUMN trace_parent;
