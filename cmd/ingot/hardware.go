package main

import (
	"fmt"
	"log/slog"
	"slices"

	"ingot/internal/conductor"
	"ingot/internal/config"
	"ingot/internal/driver/fake"
	"ingot/internal/driver/redfish"
)

// hardware is the only list of hardware types; the configuration says which of them this server offers.
func hardware(conf config.Config, log *slog.Logger) (types map[string]conductor.Hardware, closeAll func(), err error) {
	enabled := conf.Default.EnabledHardwareTypes
	c := redfish.Defaults()
	c.Log = log
	c.ReadLimit, c.ActLimit, c.CallLimit = conf.Redfish.ReadTimeout, conf.Redfish.ActTimeout, conf.Redfish.CallTimeout
	c.EffectWait, c.Concurrency = conf.Redfish.EffectTimeout, conf.Redfish.Concurrency
	rf, fk := redfish.New(c), fake.New()
	all := map[string]conductor.Hardware{
		"redfish":       {Type: rf.Type(), Validator: rf, Power: rf, Boot: rf, Media: rf, Mode: rf, Secure: rf, Inspector: rf, Console: rf, Steps: rf},
		"fake-hardware": {Type: fk.Type(), Validator: fk, Power: fk, Boot: fk, Mode: fk, Secure: fk, Inspector: fk, Steps: fk},
	}
	for name := range all {
		if !slices.Contains(enabled, name) {
			delete(all, name)
		}
	}
	for _, name := range enabled {
		if _, ok := all[name]; !ok {
			return nil, nil, fmt.Errorf("[DEFAULT] enabled_hardware_types: there is no hardware type %q; there are redfish and fake-hardware", name)
		}
	}
	return all, func() { rf.Close() }, nil
}
