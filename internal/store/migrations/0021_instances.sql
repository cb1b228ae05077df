-- +goose Up
-- What instances read at first boot, as it was rendered when they were deployed: see docs/decisions/0061-what-a-deployment-keeps.md.
-- What is private lies here sealed.
CREATE TABLE instances (
	node_id    BIGINT PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
	served     INTEGER NOT NULL,         -- 0: only the request is kept, for a rebuild
	instance   TEXT NOT NULL,            -- its instance-id
	project    TEXT NOT NULL,            -- whose it is, '' for nobody's
	deploy     TEXT NOT NULL,            -- UUID of the operation
	seed       {{bytes}} NOT NULL,       -- sealed
	answers    {{bytes}} NOT NULL,       -- sealed: what the vendordata targets answered
	request    {{bytes}} NOT NULL,       -- sealed: what they were asked
	fault      TEXT NOT NULL DEFAULT '', -- what they failed with since then
	generation TEXT NOT NULL,            -- another one whenever what is served changes
	updated_at BIGINT NOT NULL
);
CREATE INDEX instances_instance ON instances (instance);

-- The addresses by which instances are known that ask. Those that our DHCP servers leased are in dhcp_leases.
CREATE TABLE instance_addresses (
	node_id BIGINT NOT NULL REFERENCES instances (node_id) ON DELETE CASCADE,
	address TEXT NOT NULL, -- canonical
	source  TEXT NOT NULL, -- network_data, network service
	mac     TEXT NOT NULL, -- '' where nobody says
	PRIMARY KEY (node_id, address, source)
);
CREATE INDEX instance_addresses_address ON instance_addresses (address);

-- +goose Down
DROP TABLE instance_addresses;
DROP TABLE instances;
