package api

import "ingot/internal/seed"

// checkNetworkData judges network_data of a node; none is fine.
func (c *call) checkNetworkData(data map[string]any) error {
	if len(data) == 0 {
		return nil
	}
	if wrong := c.o.NetworkData.Wrong(data); wrong != "" {
		return invalid("Invalid network_data for node: %s.", wrong)
	}
	return nil
}

// checkDriveNetwork judges network_data of a config drive, which is for the instance. No other schema than the built-in one
// is for that: it is the instance's software that reads it.
func checkDriveNetwork(data any) error {
	object, _ := data.(map[string]any)
	return seed.CheckNetworkData(object)
}
