package ramdisk

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// AptDir is where the host says which archives it trusts.
const AptDir = "/etc/apt"

// HostSources reads the host's apt sources under dir and gives those of the suite in deb822 form, ready for
// mmdebstrap. Other people's repositories are left out: only a stanza with component main and one of the
// suite's own three names counts. A host without any is fault.Unavailable.
func HostSources(dir, suite string) (string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "sources.list.d", "*"))
	if err != nil {
		return "", err
	}
	names = append([]string{filepath.Join(dir, "sources.list")}, names...)
	var out []string
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // absent, or not ours to read: apt would not use it either
		}
		switch filepath.Ext(name) {
		case ".sources":
			out = append(out, deb822(string(data), suite)...)
		case ".list":
			out = append(out, oneLine(string(data), suite)...)
		}
	}
	if len(out) == 0 {
		return "", fault.New(fault.Unavailable, "this host's apt sources name no Debian %s archive with component main; add one to sources.list.d and try again", suite)
	}
	return strings.Join(out, "\n"), nil
}

// ofSuite picks from names those that are the suite, its updates or its security archive.
func ofSuite(names []string, suite string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return n != suite && n != suite+"-updates" && n != suite+"-security"
	})
}

// deb822 picks the stanzas of a .sources file (sources.list(5), "DEB822-STYLE FORMAT") that belong to the suite.
func deb822(text, suite string) []string {
	var out []string
	for _, stanza := range strings.Split(strings.ReplaceAll(text, "\r", ""), "\n\n") {
		field := map[string]string{}
		var lines []string
		last := ""
		for _, line := range strings.Split(stanza, "\n") {
			if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
				continue
			}
			if line[0] == ' ' || line[0] == '\t' { // continuation: of a key in Signed-By, mostly
				field[last] += "\n" + line
				continue
			}
			name, value, found := strings.Cut(line, ":")
			if !found {
				continue
			}
			last = strings.ToLower(name)
			field[last] = strings.TrimSpace(value)
			lines = append(lines, last)
		}
		suites := ofSuite(strings.Fields(field["suites"]), suite)
		if len(suites) == 0 || field["uris"] == "" || strings.EqualFold(field["enabled"], "no") ||
			!slices.Contains(strings.Fields(field["types"]), "deb") || !slices.Contains(strings.Fields(field["components"]), "main") {
			continue
		}
		field["types"], field["suites"], field["components"] = "deb", strings.Join(suites, " "), "main"
		var b strings.Builder
		for _, name := range lines {
			b.WriteString(name + ": " + field[name] + "\n")
		}
		out = append(out, b.String())
	}
	return out
}

// oneLine turns the lines of a .list file that belong to the suite into deb822 stanzas.
func oneLine(text, suite string) []string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		rest, found := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !found {
			continue
		}
		signed := ""
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "[") {
			options, after, closed := strings.Cut(rest[1:], "]")
			if !closed {
				continue
			}
			rest = after
			for _, o := range strings.Fields(options) {
				if key, found := strings.CutPrefix(o, "signed-by="); found {
					signed = "signed-by: " + key + "\n"
				}
			}
		}
		f := strings.Fields(rest)
		if len(f) < 3 || len(ofSuite(f[1:2], suite)) == 0 || !slices.Contains(f[2:], "main") {
			continue
		}
		out = append(out, "types: deb\nuris: "+f[0]+"\nsuites: "+f[1]+"\ncomponents: main\n"+signed)
	}
	return out
}

// HostAptOptions gives the host's download settings (proxies, retries, whether dates are checked) as lines
// of apt.conf(5): mmdebstrap starts from apt's defaults and would miss a proxy.
func HostAptOptions(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, "apt-config", "dump", "--no-empty", "--format", "%F \"%v\";%n").Output()
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "apt-config does not answer; this must run on Debian or one of its children")
	}
	wanted := []string{"Acquire::http", "Acquire::https", "Acquire::ftp", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIPv"}
	var lines []string
	for _, line := range strings.Split(string(out), "\n") {
		if slices.ContainsFunc(wanted, func(p string) bool { return strings.HasPrefix(line, p) }) {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
