package redfish_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/fault"
)

func TestInspectPiecesTogether(t *testing.T) {
	s := newStub(t)
	mergeInto(s.docs[sys], doc{"Manufacturer": " Acme\n", "Model": strings.Repeat("x", 1000), "MemorySummary": doc{"TotalSystemMemoryGiB": 1.5},
		"ProcessorSummary": doc{"Count": 2}, "Processors": at(sys + "/Processors"), "SecureBoot": at(sys + "/SecureBoot"),
		"EthernetInterfaces": at(sys + "/EthernetInterfaces")})
	s.docs[sys+"/Processors"] = list(sys+"/Processors/1", sys+"/Processors/2", sys+"/Processors/gpu")
	s.docs[sys+"/Processors/1"] = doc{"ProcessorType": "CPU", "InstructionSet": "ARM-A64", "TotalThreads": 64}
	s.docs[sys+"/Processors/2"] = doc{"ProcessorType": "CPU", "InstructionSet": "ARM-A64", "TotalThreads": 64}
	s.docs[sys+"/Processors/gpu"] = doc{"ProcessorType": "GPU", "TotalThreads": 10000}
	s.docs[sys+"/SecureBoot"] = doc{"SecureBootEnable": true, "SecureBootCurrentBoot": "Disabled"}
	nics := sys + "/EthernetInterfaces/"
	s.docs[sys+"/EthernetInterfaces"] = list(nics+"9", nics+"gone", nics+"null", nics+"usb", nics+"1", nics+"again", nics+"permanent")
	s.docs[nics+"9"] = doc{"MACAddress": "AA:00:00:00:00:09"}
	s.docs[nics+"null"] = doc{"MACAddress": nil}
	s.docs[nics+"usb"] = doc{"MACAddress": "aa:00:00:00:00:0b", "EthernetInterfaceType": "Virtual"}
	s.docs[nics+"1"] = doc{"MACAddress": "aa-00-00-00-00-01"}
	s.docs[nics+"again"] = doc{"MACAddress": "aa:00:00:00:00:09"}
	s.docs[nics+"permanent"] = doc{"PermanentMACAddress": "aa:00:00:00:00:0c"}
	mergeInto(s.docs[sys], doc{"UUID": "4C4C4544-0038-5910-8034-B2C04F4D3532"})
	got, err := driver(t, quick()).Inspect(t.Context(), s.node)
	if err != nil {
		t.Fatal(err)
	}
	if got.Manufacturer != "Acme" || got.UUID != "4c4c4544-0038-5910-8034-b2c04f4d3532" || len(got.Model) > 255 || got.MemoryMiB != 1536 || got.CPUs != 128 || got.CPUArch != "aarch64" ||
		got.SecureBoot == nil || *got.SecureBoot || got.BootMode != "uefi" {
		t.Errorf("inspect: %+v", got)
	}
	if macs := strings.Join(got.MACs, " "); macs != "aa:00:00:00:00:09 aa:00:00:00:00:01 aa:00:00:00:00:0c" {
		t.Errorf("MACs: %s", macs)
	}
}

func TestInspectSparseMachine(t *testing.T) {
	s := newStub(t)
	mergeInto(s.docs[sys], doc{"ProcessorSummary": doc{"Count": 2, "CoreCount": 16}, "Processors": at("/gone"), "SecureBoot": at("/gone")})
	got, err := driver(t, quick()).Inspect(t.Context(), s.node)
	if err != nil || got.CPUs != 16 || got.SecureBoot != nil || got.MACs != nil || got.MemoryMiB != 0 {
		t.Errorf("inspect: %+v, %v", got, err)
	}
}

// TestLongConsole: a log of many pages is read from near its end.
func TestLongConsole(t *testing.T) {
	s := newStub(t)
	uri := sys + "/LogServices/HostLogger/Entries"
	const total = 50_000
	pages := 0
	s.on("GET "+uri, func(w http.ResponseWriter, r *http.Request) {
		pages++
		skip, _ := strconv.Atoi(r.URL.Query().Get("$skip"))
		page := doc{"Members@odata.count": total}
		var members []doc
		for i := skip; i < min(skip+1000, total); i++ {
			members = append(members, doc{"Id": strconv.Itoa(i), "Message": fmt.Sprintf("line %d", i)})
		}
		page["Members"] = members
		if skip+1000 < total {
			page["Members@odata.nextLink"] = fmt.Sprintf("%s?$skip=%d", uri, skip+1000)
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	got, err := driver(t, quick()).ConsoleLog(t.Context(), s.node, 22)
	if err != nil || string(got) != "line 49998\nline 49999\n" || pages > 3 {
		t.Errorf("the end of the log after %d pages: %q, %v", pages, got, err)
	}
}

func TestConsoleOfLinks(t *testing.T) {
	s := newStub(t)
	uri := sys + "/LogServices/HostLogger/Entries"
	var entries []string
	for i := range 300 {
		entry := fmt.Sprintf("%s/%d", uri, i)
		entries = append(entries, entry)
		s.docs[entry] = doc{"Message": fmt.Sprintf("line %d\r", i)}
	}
	s.docs[uri] = list(entries...)
	got, err := driver(t, quick()).ConsoleLog(t.Context(), s.node, 1000)
	if err != nil || !strings.HasSuffix(string(got), "line 298\nline 299\n") || s.all > 60 {
		t.Errorf("%d requests: %q, %v", s.all, got, err)
	}
	delete(s.docs, uri)
	_, err = driver(t, quick()).ConsoleLog(t.Context(), s.node, 1000)
	is(t, err, fault.NotSupported)
}
