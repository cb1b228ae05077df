-- +goose Up
-- Addresses that the boot services' DHCP servers gave out. An address is one machine's, whatever server asks.
CREATE TABLE dhcp_leases (
	address  TEXT NOT NULL PRIMARY KEY, -- canonical
	network  TEXT NOT NULL, -- by its name in the networks file
	mac      TEXT NOT NULL, -- '': somebody unknown uses it
	client   TEXT NOT NULL, -- DUID and IAID of DHCPv6
	node     TEXT NOT NULL, -- UUID; leases outlive nodes
	until    BIGINT NOT NULL,
	declined INTEGER NOT NULL,
	held_at  BIGINT NOT NULL
);
CREATE INDEX dhcp_leases_network ON dhcp_leases (network);
CREATE INDEX dhcp_leases_mac ON dhcp_leases (mac);

-- +goose Down
DROP TABLE dhcp_leases;
