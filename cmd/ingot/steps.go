package main

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"ingot/internal/api"
	"ingot/internal/conductor"
	"ingot/internal/config"
)

// stepConfig sets what the conductor is told about steps.
func stepConfig(c config.Config, cc *conductor.Config) error {
	cc.ServiceCallbackLimit = c.Conductor.ServiceCallbackTimeout
	cc.RescueCallbackLimit = c.Conductor.RescueCallbackTimeout
	cc.CleanStepLimit, cc.DeployStepLimit, cc.ServiceStepLimit = c.Conductor.CleanStepTimeout, c.Conductor.DeployStepTimeout, c.Conductor.ServiceStepTimeout
	for _, pattern := range c.Conductor.FirmwareDriftIgnore {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("[conductor] firmware_drift_ignore: %q is not a pattern", pattern)
		}
	}
	cc.FirmwareDrift, cc.FirmwareDriftIgnore = c.Conductor.FirmwareDrift, c.Conductor.FirmwareDriftIgnore
	cc.AbandonLimit = c.Conductor.AbandonedOperationTimeout
	cc.StepPriority = map[string]int{"deploy.erase_devices": c.Deploy.EraseDevicesPriority, "deploy.erase_devices_metadata": c.Deploy.EraseDevicesMetadataPriority,
		"deploy.clean_uefi_variables": c.Deploy.CleanUEFIVariablesPriority,
		"raid.delete_configuration":   c.Deploy.DeleteConfigurationPriority, "raid.create_configuration": c.Deploy.CreateConfigurationPriority}
	for _, text := range c.Conductor.CleanStepPriorityOverride {
		name, value, _ := strings.Cut(text, ":")
		priority, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || priority < 0 || strings.Count(name, ".") != 1 {
			return fmt.Errorf("[conductor] clean_step_priority_override: %q is not interface.step:priority", text)
		}
		cc.StepPriority[strings.TrimSpace(name)] = priority
	}
	return nil
}

// refusedSteps are the steps that nobody may ask for. An empty list refuses none.
func refusedSteps(c config.API) api.RefusedSteps {
	list := func(l []string) []string { return append([]string{}, l...) }
	return api.RefusedSteps{Clean: list(c.DisallowCleanSteps), Deploy: list(c.DisallowDeploySteps), Service: list(c.DisallowServiceSteps)}
}
