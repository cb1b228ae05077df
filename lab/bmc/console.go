package bmc

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// pageSize is how many log entries one answer holds (bmcweb: MaxEntries 1000).
const pageSize = 1000

func (b *BMC) getConsole(*http.Request) (doc, error) {
	return doc{"@odata.id": ConsolePath, "@odata.type": "#LogService.v1_2_0.LogService", "Id": "HostLogger",
		"Name": "Host Logger Service", "Description": "The host's serial console", "ServiceEnabled": true,
		"Entries": link(ConsolePath + "/Entries")}, nil
}

// lines are those of the console, oldest first, without line ends. An entry's number is its place here.
func (b *BMC) lines() []string {
	text := bytes.TrimRight(b.cfg.Machine.Console(), "\r\n")
	if len(text) == 0 {
		return nil
	}
	lines := strings.Split(strings.ToValidUTF8(string(text), "\uFFFD"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], "\r")
	}
	return lines
}

func consoleEntry(n int, line string) doc {
	id := strconv.Itoa(n)
	return doc{"@odata.id": ConsolePath + "/Entries/" + id, "@odata.type": "#LogEntry.v1_9_0.LogEntry", "Id": id,
		"Name": "Host Logger Entry", "EntryType": "Oem", "OemRecordFormat": "Host Logger Entry", "Severity": "OK", "Message": line}
}

// getConsoleEntries gives a page of whole entries, by $skip and $top (DSP0266 §7.3).
func (b *BMC) getConsoleEntries(r *http.Request) (doc, error) {
	lines := b.lines()
	skip, err := number(r.URL.Query(), "$skip", 0)
	if err != nil {
		return nil, err
	}
	top, err := number(r.URL.Query(), "$top", pageSize)
	if err != nil {
		return nil, err
	}
	from := min(skip, len(lines))
	to := min(from+min(top, pageSize), len(lines))
	entries := make([]doc, 0, to-from)
	for i := from; i < to; i++ {
		entries = append(entries, consoleEntry(i, lines[i]))
	}
	path := ConsolePath + "/Entries"
	d := doc{"@odata.id": path, "@odata.type": "#LogEntryCollection.LogEntryCollection", "Name": "HostLogger Entries",
		"Description": "The host's serial console, one entry per line", "Members": entries, "Members@odata.count": len(lines)}
	if to < len(lines) {
		d["Members@odata.nextLink"] = path + "?$skip=" + strconv.Itoa(to)
	}
	return d, nil
}

func number(q url.Values, name string, absent int) (int, error) {
	text := q.Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<30 {
		return 0, problem{http.StatusBadRequest, "QueryParameterValueFormatError",
			"The value for the query parameter " + name + " is of a different format than the parameter can accept."}
	}
	return n, nil
}

func (b *BMC) getConsoleEntry(r *http.Request) (doc, error) {
	lines := b.lines()
	n, err := strconv.Atoi(r.PathValue("entry"))
	if err != nil || n < 0 || n >= len(lines) {
		return nil, notFound(r)
	}
	return consoleEntry(n, lines[n]), nil
}
