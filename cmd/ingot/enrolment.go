package main

import (
	"fmt"
	"os"

	"ingot/internal/config"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/seed"
)

// enrolment is what the configuration says of new nodes and of those that are deleted.
func enrolment(c config.Config, oc *ops.Config) {
	oc.ResourceClass, oc.ConductorGroup = c.Enrolment.DefaultResourceClass, c.Enrolment.DefaultConductorGroup
	oc.PortgroupMode = c.Enrolment.DefaultPortgroupMode
	oc.RefusedBootModes = c.EnrolmentAPI.DisallowedEnrollmentBootModes
	oc.Networks = map[string]metal.NetworkNames{"vswitch": c.VSwitch.Names(), "neutron": c.Neutron.Names()} // flat rescues on VIFs
	oc.KeepAvailable = !c.Deletion.AllowDeletingAvailableNodes
}

// networkDataSchema reads the schema that the configuration names; nil: the built-in one.
func networkDataSchema(c config.Config) (*seed.Schema, error) {
	path := c.EnrolmentAPI.NetworkDataSchema
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err == nil {
		var s *seed.Schema
		if s, err = seed.CompileSchema(text); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("[api] network_data_schema, %s: %w", path, err)
}
