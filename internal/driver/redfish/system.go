package redfish

import (
	"encoding/json"
	"net/http"
	"path"
	"strings"

	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/fault"
)

const (
	systemsPath  = "/redfish/v1/Systems"
	managersPath = "/redfish/v1/Managers"
	maxMembers   = 64 // of one collection; a BMC has a handful of everything we list
)

// link is how one Redfish resource names another.
type link struct {
	URI string `json:"@odata.id"`
}

// links are the parts of a ComputerSystem that the library reads but does not give: where its own
// resources are. We fetch them ourselves, to keep their order and to bound their number.
type links struct {
	Bios               link
	EthernetInterfaces link
	LogServices        link
	Processors         link
	SecureBoot         link
	VirtualMedia       link
	Links              struct{ ManagedBy []link }
	Settings           struct{ SettingsObject link } `json:"@Redfish.Settings"`
}

// system reads the node's machine. The first time it may have to find it: without redfish_system_id there
// must be exactly one.
func (c *call) system() (*schemas.ComputerSystem, error) {
	uri, err := c.systemPath()
	if err != nil {
		return nil, err
	}
	s, err := schemas.GetObject[schemas.ComputerSystem](c, uri)
	if statusOf(err) == http.StatusNotFound {
		if c.name != "" {
			return nil, fault.New(fault.Invalid, "the BMC at %s has no machine %s: check %s", c.bmc.host, c.name, keySystem)
		}
		c.bmc.mu.Lock()
		c.bmc.path = "" // found once, gone now: find it again next time
		c.bmc.mu.Unlock()
	}
	if err != nil {
		return nil, err
	}
	s.ODataID = uri // what it calls itself is no reason to write elsewhere
	c.quirk = quirkOf(s.Manufacturer, s.Model)
	return s, nil
}

func (c *call) systemPath() (string, error) {
	if c.name != "" {
		return c.name, nil
	}
	c.bmc.mu.Lock()
	uri := c.bmc.path
	c.bmc.mu.Unlock()
	if uri != "" {
		return uri, nil
	}
	found, err := c.members(systemsPath, maxMembers)
	if err != nil {
		return "", err
	}
	switch len(found) {
	case 0:
		return "", fault.New(fault.Unavailable, "the BMC at %s lists no machine: it may still be starting", c.bmc.host)
	case 1:
	default:
		names := make([]string, 0, len(found))
		for _, f := range found {
			names = append(names, path.Base(f))
		}
		return "", fault.New(fault.Invalid, "the BMC at %s has %d machines (%s): say which in %s", c.bmc.host, len(found),
			bounded(scrub(strings.Join(names, ", "), c.hide), maxMessage), keySystem)
	}
	if uri, err = c.local(found[0]); err != nil {
		return "", err
	}
	c.bmc.mu.Lock()
	c.bmc.path = uri
	c.bmc.mu.Unlock()
	return uri, nil
}

func linksOf(s *schemas.ComputerSystem) (links, error) {
	var l links
	err := json.Unmarshal(s.RawData, &l)
	return l, err
}
