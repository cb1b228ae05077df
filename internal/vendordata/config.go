package vendordata

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Config is the part of the section [api] about vendordata.
type Config struct {
	// VendordataProviders are where vendordata come from: StaticJSON is the file vendordata_jsonfile_path, DynamicJSON are the
	// targets vendordata_dynamic_targets.
	VendordataProviders []string `key:"vendordata_providers"`
	// VendordataJSONFilePath is a file with a JSON document: vendor_data.json, and "static" in vendor_data2.json. It is
	// read again when it changes; while it cannot be read, what it said last holds. Empty means {}.
	VendordataJSONFilePath string `key:"vendordata_jsonfile_path" is:"path"`
	// VendordataDynamicTargets are servers that are asked about each instance, as NAME@URL. What one answers is under its
	// name in vendor_data2.json. The name "static" is taken; a comma in a URL is written %2C.
	VendordataDynamicTargets TargetList `key:"vendordata_dynamic_targets"`
	// VendordataDynamicSSLCertfile holds the certificates that those of https targets must come from. It is read again when
	// it changes. Empty means those of this host.
	VendordataDynamicSSLCertfile string `key:"vendordata_dynamic_ssl_certfile" is:"path"`
	// VendordataDynamicConnectTimeout is how long a connection to a target may take to be made.
	VendordataDynamicConnectTimeout time.Duration `key:"vendordata_dynamic_connect_timeout" min:"3"`
	// VendordataDynamicReadTimeout is how long a target may send nothing. 0 leaves that to the total time.
	VendordataDynamicReadTimeout time.Duration `key:"vendordata_dynamic_read_timeout" min:"0"`
	// VendordataDynamicTotalTimeout is how long all targets together may take; they are asked at the same time.
	VendordataDynamicTotalTimeout time.Duration `key:"vendordata_dynamic_total_timeout" min:"1" max:"600"`
	// VendordataDynamicMaxSize is how large one answer, or the static document, may be, in KiB.
	VendordataDynamicMaxSize int `key:"vendordata_dynamic_max_size" min:"1" max:"16384"`
	// VendordataDynamicFailureFatal fails a deploy when a target fails, and lets the metadata service answer 503 for
	// vendor_data2.json. Otherwise a target that fails counts as {}.
	VendordataDynamicFailureFatal bool `key:"vendordata_dynamic_failure_fatal"`
	// VendordataDynamicMaxAge is the longest that an answer is used without asking again, whatever the target says.
	VendordataDynamicMaxAge time.Duration `key:"vendordata_dynamic_max_age" min:"0"`
	// VendordataDynamicDefaultMaxAge is how long an answer is used whose target does not say how long it may be. 0 asks each time,
	// as Nova does.
	VendordataDynamicDefaultMaxAge time.Duration `key:"vendordata_dynamic_default_max_age" min:"0"`
	// VendordataDynamicCacheSize is how many MiB of answers are kept in memory, beside those that are sealed with the instances.
	VendordataDynamicCacheSize int `key:"vendordata_dynamic_cache_size" min:"0" max:"65536"`
	// VendordataDynamicAllowHTTPAuth allows targets by http although this server shows them who it is: whoever is
	// between reads the token and may use it.
	VendordataDynamicAllowHTTPAuth bool `key:"vendordata_dynamic_allow_http_auth"`
}

// The providers, by upstream's names.
const (
	StaticJSON  = "StaticJSON"
	DynamicJSON = "DynamicJSON"
)

// Defaults is the only place with default values. Those of upstream's options are upstream's.
func Defaults() Config {
	return Config{VendordataProviders: []string{StaticJSON},
		VendordataDynamicConnectTimeout: 5 * time.Second, VendordataDynamicReadTimeout: 5 * time.Second, VendordataDynamicTotalTimeout: 20 * time.Second,
		VendordataDynamicMaxSize: 1024, VendordataDynamicMaxAge: 24 * time.Hour, VendordataDynamicDefaultMaxAge: time.Hour, VendordataDynamicCacheSize: 64}
}

// Check says what is wrong, all at once. It reads no file: New does.
func (c Config) Check() error {
	var wrong []error
	for _, p := range c.VendordataProviders {
		if p != StaticJSON && p != DynamicJSON {
			wrong = append(wrong, fmt.Errorf("[api] vendordata_providers: %q is not one of %s, %s", p, StaticJSON, DynamicJSON))
		}
	}
	_, bad := c.VendordataDynamicTargets.parse()
	return errors.Join(append(wrong, bad...)...)
}

// Static tells whether there is a static document.
func (c Config) Static() bool { return slices.Contains(c.VendordataProviders, StaticJSON) }

// Dynamic tells whether targets are asked.
func (c Config) Dynamic() bool {
	return slices.Contains(c.VendordataProviders, DynamicJSON) && len(c.VendordataDynamicTargets) > 0
}

func (c Config) maxBytes() int { return c.VendordataDynamicMaxSize << 10 }
