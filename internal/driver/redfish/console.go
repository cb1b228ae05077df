package redfish

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// pageSize is how many log entries are asked for at once: OpenBMC gives no more.
// Source: openbmc/bmcweb, redfish-core, $top of LogEntry collections.
const pageSize = 1000

// entries is a page of a log.
type entries struct {
	Count   int    `json:"Members@odata.count"`
	Next    string `json:"Members@odata.nextLink"`
	Members []struct {
		URI     string `json:"@odata.id"`
		Message *string
	}
}

// ConsoleLog is the newest part of what the machine printed on its serial console, at most limit bytes, cut
// at a line where there is one. It is what OpenBMC keeps in the log service "HostLogger", a line per entry;
// a BMC without that is fault.NotSupported.
func (d *Driver) ConsoleLog(ctx context.Context, n *metal.Node, limit int) ([]byte, error) {
	var log []byte
	err := d.call(ctx, n, "give the console log", func(c *call) (err error) {
		log, err = c.consoleLog(limit)
		return err
	})
	return log, err
}

func (c *call) consoleLog(limit int) ([]byte, error) {
	s, err := c.system()
	if err != nil {
		return nil, err
	}
	l, err := linksOf(s)
	if err != nil {
		return nil, err
	}
	services := firstOf(l.LogServices.URI, s.ODataID+"/LogServices")
	uri := strings.TrimSuffix(services, "/") + "/HostLogger/Entries"
	page, err := c.logPage(uri)
	if statusOf(err) == http.StatusNotFound {
		return nil, fault.New(fault.NotSupported, "the BMC at %s keeps no console log", c.bmc.host)
	}
	if err != nil {
		return nil, err
	}
	if page.Next != "" && page.Count > 2*pageSize { // skip what will not fit: the newest are last
		skipped, err := c.logPage(fmt.Sprintf("%s?$skip=%d&$top=%d", uri, page.Count-pageSize, pageSize))
		if err == nil {
			page = skipped
		}
	}
	var log tail
	for {
		for _, m := range page.Members {
			if m.Message == nil { // a link: the BMC does not write entries out
				var e struct{ Message string }
				if err := c.read(m.URI, &e); err != nil {
					return nil, err
				}
				m.Message = &e.Message
			}
			log.line(*m.Message, limit)
		}
		if page.Next == "" {
			return log.bytes(limit), nil
		}
		if page, err = c.logPage(page.Next); err != nil {
			return nil, err
		}
	}
}

func (c *call) logPage(uri string) (entries, error) {
	var e entries
	err := c.read(uri, &e)
	// A page of bare links would take a request each: the newest 50 have to do.
	if n := len(e.Members); n > 50 && e.Members[n-1].Message == nil {
		e.Members = e.Members[n-50:]
	}
	return e, err
}

// tail is the end of a text that grows by lines; it never holds more than twice what is wanted of it.
type tail struct{ b []byte }

func (t *tail) line(s string, limit int) {
	t.b = append(t.b, strings.TrimRight(s, "\r\n")...)
	t.b = append(t.b, '\n')
	if len(t.b) > 2*limit {
		t.b = append(t.b[:0], t.b[len(t.b)-max(limit, 0)-1:]...) // one more, to see whether a line begins there
	}
}

func (t *tail) bytes(limit int) []byte {
	if len(t.b) <= limit {
		return t.b
	}
	before := t.b[len(t.b)-max(limit, 0)-1]
	cut := t.b[len(t.b)-max(limit, 0):]
	if before == '\n' {
		return cut
	}
	if i := bytes.IndexByte(cut, '\n'); i >= 0 && i < len(cut)-1 {
		return cut[i+1:]
	}
	return cut
}
