package config

import (
	"fmt"
	"reflect"
	"strings"
)

// option is one option: a field of a section, found by its tags.
type option struct {
	section string
	key     string
	value   reflect.Value // settable; of the Config the options were listed from
	field   reflect.StructField
	room    reflect.Type // the struct the field is in: its source has the comment
	more    string       // what the section says of it beyond that comment
}

// name is how people write an option: "[api] port".
func (o *option) name() string { return "[" + o.section + "] " + o.key }

// variable is the environment variable of an option.
func (o *option) variable() string {
	return prefix + strings.ToUpper(strings.ReplaceAll(o.section+"__"+o.key, "-", "_"))
}

// prefix begins every variable that sets an option. A variable without "__" after it is not one of them
// (INGOT_ENDPOINT is the command line's).
const prefix = "INGOT_"

// options lists all options of c in the order of their declaration. It panics on a declaration that cannot
// work (a section tag on what is no struct, one name twice): the room's test would not have passed.
func options(c *Config) []*option {
	var out []*option
	seen := map[string]bool{}
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		section := v.Type().Field(i).Tag.Get("section")
		if section == "" {
			panic("config: field " + v.Type().Field(i).Name + " has no section")
		}
		room := v.Field(i)
		for _, f := range reflect.VisibleFields(room.Type()) {
			key := f.Tag.Get("key")
			if key == "" || key == "-" {
				continue
			}
			o := &option{section: section, key: key, value: room.FieldByIndex(f.Index), field: f, room: room.Type()}
			if last := len(f.Index) - 1; last > 0 { // of a struct that is embedded, and may say more of it
				from := room.Type().FieldByIndex(f.Index[:last])
				o.room, o.more = from.Type, from.Tag.Get(key)
			}
			if elsewhere := f.Tag.Get("section"); elsewhere != "" {
				o.section = elsewhere // upstream keeps what one room reads in several sections
			}
			if seen[o.name()] {
				panic("config: " + o.name() + " is declared twice")
			}
			seen[o.name()] = true
			out = append(out, o)
		}
	}
	return out
}

// unknown says that there is no such option, and which one was probably meant.
func unknown(all []*option, section, key string) string {
	said := "[" + section + "] " + key
	best, distance := "", -1
	for _, o := range all {
		d := edits(o.key, key)
		if o.section != section {
			d += 2 // a slip in this section is likelier than another section, unless the name is right
		}
		if distance < 0 || d < distance {
			best, distance = o.name(), d
		}
	}
	return fmt.Sprintf("%s: there is no such option; the nearest is %s", said, best)
}

// edits is how many letters must be added, taken away or replaced to make one word of the other.
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}
