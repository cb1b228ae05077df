package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"
)

func (a *app) checkFormat() error {
	if !slices.Contains([]string{"table", "json", "yaml"}, a.format) {
		return usagef("-o %s: the formats are table, json and yaml", a.format)
	}
	return nil
}

// print writes data as the document that -o asks for, or calls human for the table.
func (a *app) print(cmd *cobra.Command, data any, human func(w io.Writer)) error {
	w := cmd.OutOrStdout()
	switch a.format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(data)
	case "yaml":
		v, err := plainValue(data)
		if err != nil {
			return err
		}
		b, err := yaml.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode as YAML: %w", err)
		}
		_, err = w.Write(b)
		return err
	}
	human(w)
	return nil
}

// plainValue is data as JSON sees it, with numbers that YAML writes as numbers.
func plainValue(data any) (any, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return unnumber(v), nil
}

func unnumber(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = unnumber(v[k])
		}
	case []any:
		for i := range v {
			v[i] = unnumber(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	}
	return v
}

// table writes rows below a head, columns aligned. Cells are cleaned.
func table(w io.Writer, head []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			if cell == "" {
				cell = "-"
			}
			end := "\t"
			if i == len(row)-1 {
				end = "\n"
			}
			fmt.Fprint(t, oneLine(cell), end)
		}
	}
	_ = t.Flush()
}

// fields writes one object as key and value per line: first the keys of lead in their order, then the
// others sorted. Empty values are left out unless all.
func fields(w io.Writer, o map[string]any, lead []string, all bool) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(o)), func(k string) bool { return slices.Contains(lead, k) })
	for _, k := range append(slices.Clone(lead), keys...) {
		v, ok := o[k]
		if !ok || k == "links" || isLinks(v) || (!all && empty(v)) {
			continue
		}
		fmt.Fprintf(t, "%s\t%s\n", oneLine(k), oneLine(cellText(v)))
	}
	_ = t.Flush()
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// isLinks knows the link pairs of sub-collections, which tell a person nothing.
func isLinks(v any) bool {
	l, ok := v.([]any)
	if !ok || len(l) == 0 {
		return false
	}
	m, ok := l[0].(map[string]any)
	return ok && m["href"] != nil
}

func cellText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// clean replaces what a terminal would obey. Line ends and tabs stay.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		// Bidirectional overrides (category Cf) reorder what is read, so they go too.
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

// oneLine is clean for a table cell or a progress line.
func oneLine(s string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(clean(strings.TrimSpace(s)))
}
