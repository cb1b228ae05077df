package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/secret"
	"ingot/internal/vendordata"
)

// parse puts text into the option's field. The error says what would have been right; it does not repeat
// the value where that may be a secret.
func (o *option) parse(text string) error {
	text = strings.TrimSpace(text)
	switch p := o.value.Addr().Interface().(type) {
	case *string:
		if err := o.checkText(text); err != nil {
			return err
		}
		*p = text
	case *secret.Secret:
		*p = secret.New(text)
	case *bool:
		b, ok := truth[strings.ToLower(text)]
		if !ok {
			return fmt.Errorf("%q is not true or false", text)
		}
		*p = b
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		if err := o.checkRange(float64(n)); err != nil {
			return err
		}
		*p = n
	case *time.Duration:
		d, err := parseTime(text)
		if err != nil {
			return err
		}
		if err := o.checkRange(d.Seconds()); err != nil {
			return err
		}
		*p = d
	case *[]string:
		*p = splitList(text)
	case *vendordata.TargetList:
		*p = splitList(text)
	case *map[string]int:
		m := map[string]int{}
		for _, item := range splitList(text) {
			k, v, _ := strings.Cut(item, ":")
			n, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil || k == "" {
				return fmt.Errorf("%q is not NAME:NUMBER", item)
			}
			m[strings.TrimSpace(k)] = n
		}
		*p = m
	default:
		return fmt.Errorf("options of type %s cannot be read", o.value.Type())
	}
	return nil
}

// truth is upstream's words for the two. Source: oslo.config, types.Boolean.
var truth = map[string]bool{"true": true, "1": true, "on": true, "yes": true,
	"false": false, "0": false, "off": false, "no": false}

// parseTime reads seconds, as upstream writes them, or a number with a unit: "90", "1.5", "30m", "1h30m".
func parseTime(text string) (time.Duration, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n >= -1e9 && n <= 1e9 {
		return time.Duration(n * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no time: write seconds, or a unit as in 30m", text)
	}
	return d, nil
}

func splitList(text string) []string {
	out := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func (o *option) checkRange(n float64) error {
	for _, bound := range []struct {
		tag, word string
		broken    func(limit float64) bool
	}{{"min", "less", func(l float64) bool { return n < l }}, {"max", "more", func(l float64) bool { return n > l }}} {
		text := o.field.Tag.Get(bound.tag)
		limit, err := strconv.ParseFloat(text, 64)
		if err == nil && bound.broken(limit) {
			return fmt.Errorf("%v is %s than %s", n, bound.word, text)
		}
	}
	return nil
}

func (o *option) checkText(text string) error {
	if words := o.field.Tag.Get("oneof"); words != "" && !slices.Contains(strings.Split(words, ","), text) {
		return fmt.Errorf("%q is not one of %s", text, strings.ReplaceAll(strings.TrimPrefix(words, ","), ",", ", "))
	}
	if text == "" {
		return nil
	}
	switch form := o.field.Tag.Get("is"); form {
	case "url":
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return fmt.Errorf("%q is no URL like http://192.0.2.1:6387", text)
		}
		if u.User != nil {
			return fmt.Errorf("the URL must not hold a user name or password")
		}
	case "ip":
		if _, err := netip.ParseAddr(text); err != nil {
			return fmt.Errorf("%q is no IP address", text)
		}
	case "path":
		if !filepath.IsAbs(text) {
			return fmt.Errorf("%q is no absolute path", text)
		}
	}
	return nil
}

// text is the option's value as parse would read it; a secret is masked, also one that is a part of a value.
func (o *option) text() string {
	switch v := o.value.Interface().(type) {
	case secret.Secret:
		if v.Empty() {
			return ""
		}
		return secret.Mask
	case time.Duration:
		return timeText(v)
	case []string:
		return strings.Join(v, ",")
	case vendordata.TargetList:
		return v.Shown()
	case map[string]int:
		items := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			items = append(items, k+":"+strconv.Itoa(v[k]))
		}
		return strings.Join(items, ",")
	default:
		return fmt.Sprint(v)
	}
}

// timeText leaves out the zeros that Duration writes: "30m", not "30m0s".
func timeText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// kind is what an operator may write, for docs/config.md.
func (o *option) kind() string {
	switch o.value.Interface().(type) {
	case bool:
		return "true or false"
	case int:
		return "number"
	case time.Duration:
		return "time"
	case []string, vendordata.TargetList:
		return "list"
	case map[string]int:
		return "list of name:number"
	case secret.Secret:
		return "secret"
	}
	if words := o.field.Tag.Get("oneof"); words != "" {
		return strings.ReplaceAll(strings.TrimPrefix(words, ","), ",", ", ")
	}
	if form := o.field.Tag.Get("is"); form != "" {
		return map[string]string{"url": "URL", "ip": "IP address", "path": "path"}[form]
	}
	if o.value.Kind() == reflect.String {
		return "text"
	}
	return o.value.Type().String()
}
