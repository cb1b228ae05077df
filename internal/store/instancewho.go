package store

import "strings"

// InstancesByNode finds the instance of a node, by the node's UUID; it is one, or none.
func (t *Tx) InstancesByNode(uuid string) ([]InstanceRef, error) {
	return t.instanceRefs(refSelect+"n.uuid = ?", uuid)
}

// InstancesByMAC finds the instances of machines that have a NIC or a bond with a MAC.
func (t *Tx) InstancesByMAC(mac string) ([]InstanceRef, error) {
	mac = strings.ToLower(mac)
	return t.instanceRefs(refSelect+`i.node_id IN (SELECT node_id FROM ports WHERE address = ? UNION SELECT node_id FROM portgroups WHERE address = ?)
		ORDER BY i.node_id`, mac, mac)
}

// InstancesWithoutDrive counts the instances that are served and whose nodes were given no config drive.
func (t *Tx) InstancesWithoutDrive() (n int, err error) {
	err = t.row("SELECT count(*) FROM instances i WHERE i.served = 1 AND NOT EXISTS (SELECT 1 FROM configdrives c WHERE c.node_id = i.node_id)").Scan(&n)
	return n, err
}
