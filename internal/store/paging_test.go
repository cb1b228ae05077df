package store

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"

	"pgregory.net/rapid"
)

// sortable are keys with ties and, of the nullable ones, nulls; how a node compares by each.
var sortable = map[string]func(a, b *metal.Node) int{
	"":                func(a, b *metal.Node) int { return 0 },
	"id":              func(a, b *metal.Node) int { return 0 },
	"uuid":            func(a, b *metal.Node) int { return cmp.Compare(a.UUID, b.UUID) },
	"power_interface": func(a, b *metal.Node) int { return cmp.Compare(a.Interfaces["power"], b.Interfaces["power"]) },
	"name":            func(a, b *metal.Node) int { return cmp.Compare(a.Name, b.Name) },
	"driver":          func(a, b *metal.Node) int { return cmp.Compare(a.Driver, b.Driver) },
	"instance_uuid":   func(a, b *metal.Node) int { return cmp.Compare(a.InstanceUUID, b.InstanceUUID) },
	"maintenance":     func(a, b *metal.Node) int { return cmp.Compare(number(a.Maintenance), number(b.Maintenance)) },
	"automated_clean": func(a, b *metal.Node) int { return cmp.Compare(ternary(a.AutomatedClean), ternary(b.AutomatedClean)) },
	"created_at":      func(a, b *metal.Node) int { return a.CreatedAt.Compare(b.CreatedAt) },
}

func ternary(b *bool) int64 {
	if b == nil {
		return -1
	}
	return number(*b)
}

// TestPagesAreTheList walks lists in pages: whatever the key, direction and size of a page, the pages joined
// are the list sorted by key and then by age, no node twice and none left out.
func TestPagesAreTheList(t *testing.T) { each(t, testPagesAreTheList) }

func testPagesAreTheList(t *testing.T, open opener) {
	db := open(t)
	var all []*metal.Node
	for i := range 40 {
		all = append(all, addNode(t, db, i*7919%97, func(n *metal.Node) {
			n.Driver, n.Maintenance, n.CreatedAt = []string{"a", "b", "c"}[i%3], i%4 == 0, fromMicros(int64(i%5))
			if i%4 > 0 {
				n.Interfaces = map[string]string{"power": []string{"a", "B-b", "c"}[i%3]}
			}
			if i%3 > 0 {
				n.Name = fmt.Sprintf("n%02d", (i*31)%40)
			}
			if i%5 == 0 {
				n.InstanceUUID = id(1000 - i)
			}
			if i%3 > 0 {
				yes := i%3 == 1
				n.AutomatedClean = &yes
			}
		}))
	}
	rapid.Check(t, func(r *rapid.T) {
		key := rapid.SampledFrom(slices.Sorted(func(yield func(string) bool) {
			for k := range sortable {
				if !yield(k) {
					return
				}
			}
		})).Draw(r, "sort_key")
		dir := rapid.SampledFrom([]string{"", "asc", "desc", "DESC"}).Draw(r, "sort_dir")
		limit := rapid.IntRange(1, len(all)+1).Draw(r, "limit")
		filter := NodeFilter{}
		if rapid.Bool().Draw(r, "filtered") {
			filter.Equal = map[string]string{"driver": "b"}
		}

		var want []string
		sorted := slices.SortedStableFunc(slices.Values(all), func(a, b *metal.Node) int {
			c := cmp.Or(sortable[key](a, b), cmp.Compare(a.ID, b.ID))
			if dir == "desc" || dir == "DESC" {
				return -c
			}
			return c
		})
		for _, n := range sorted {
			if filter.Equal == nil || n.Driver == "b" {
				want = append(want, n.UUID)
			}
		}
		var got []string
		marker := ""
		for pages := 0; ; pages++ {
			if pages > len(all) {
				r.Fatalf("the pages do not end: %v", got)
			}
			var page []*metal.Node
			err := db.Read(t.Context(), func(tx *Tx) (err error) {
				page, err = tx.Nodes(filter, Page{Limit: limit, Marker: marker, SortKey: key, SortDir: dir})
				return err
			})
			if err != nil {
				r.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			if len(page) > limit {
				r.Fatalf("a page of %d, asked for %d", len(page), limit)
			}
			for _, n := range page {
				got = append(got, n.UUID)
			}
			marker = page[len(page)-1].UUID
		}
		if !slices.Equal(got, want) {
			r.Errorf("sorted by %q %s in pages of %d:\ngot  %v\nwant %v", key, dir, limit, got, want)
		}
	})
}

// TestEveryColumnSorts sorts by all columns there are: what holds objects is refused, nothing else fails.
func TestEveryColumnSorts(t *testing.T) { each(t, testEveryColumnSorts) }

func testEveryColumnSorts(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	addNode(t, db, 2)
	for _, column := range append([]string{"deploy_interface", "vendor_interface"}, nodeColumns...) {
		for _, dir := range []string{"asc", "desc"} {
			err := db.Read(t.Context(), func(tx *Tx) error {
				_, err := tx.Nodes(NodeFilter{}, Page{Marker: n.UUID, SortKey: column, SortDir: dir, Limit: 1})
				return err
			})
			if object := slices.Contains(unsortable, column); object != (fault.KindOf(err) == fault.Invalid) || !object && err != nil {
				t.Errorf("sorted by %s: %v", column, err)
			}
		}
	}
}

func TestBadPages(t *testing.T) { each(t, testBadPages) }

func testBadPages(t *testing.T, open opener) {
	db := open(t)
	addNode(t, db, 1)
	for _, c := range []struct {
		what string
		p    Page
		want fault.Kind
	}{
		{"unknown key", Page{SortKey: "flavour"}, fault.Invalid},
		{"an injection", Page{SortKey: "id; DROP TABLE nodes"}, fault.Invalid},
		{"unknown direction", Page{SortDir: "sideways"}, fault.Invalid},
		{"unknown marker", Page{Marker: id(99)}, fault.NotFound},
	} {
		err := db.Read(t.Context(), func(tx *Tx) error { _, err := tx.Nodes(NodeFilter{}, c.p); return err })
		if fault.KindOf(err) != c.want {
			t.Errorf("%s: %v", c.what, err)
		}
		err = db.Read(t.Context(), func(tx *Tx) error { _, err := tx.Ports(PortFilter{}, c.p); return err })
		if fault.KindOf(err) != c.want {
			t.Errorf("%s of ports: %v", c.what, err)
		}
	}
}
