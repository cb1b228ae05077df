package seed

import (
	"maps"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// FromObject renders the object form of configdrive in Ironic's API: the keys meta_data, network_data and
// vendor_data (objects) and user_data (string, object, array or null), and nothing else. What meta_data does not say is
// taken from defaults; user_data that is not a string becomes JSON; vendor_data becomes vendor_data2.json as it is.
// Network data that is not there, or has no links, is the defaults', too: upstream repairs a drive so; null is none. Wrong shapes are
// fault.Invalid, and more than 16 MiB is fault.TooLarge: it is kept, sealed, and in memory while it is served. Source: provision verbs reference, "configdrive forms".
func FromObject(object map[string]any, defaults Input) (*Seed, error) {
	for key := range object {
		switch key {
		case "meta_data", "network_data", "user_data", "vendor_data":
		default:
			return nil, fault.New(fault.Invalid, "The config drive has an unknown key %.80q: meta_data, network_data, user_data "+
				"and vendor_data are known.", key)
		}
	}
	meta, err1 := part(object, "meta_data")
	network, err2 := objectNetwork(object, defaults.NetworkData, checkNetwork)
	vendor, err3 := part(object, "vendor_data")
	user, err4 := userData(object["user_data"])
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return nil, err
		}
	}
	full := defaults.metaData()
	maps.Copy(full, meta)
	in := defaults
	in.NetworkData = network
	if len(vendor) > 0 {
		in.VendorData2 = vendor
	}
	if given := object["user_data"]; given != nil {
		in.UserData = user
	}
	s, err := in.render(full)
	if err == nil && s.Size() > maxServed {
		return nil, fault.New(fault.TooLarge, "What the config drive's parts hold is larger than %d MiB, which is the most that is kept of an instance: make the user data smaller, "+
			"or give a ready drive.", maxServed>>20)
	}
	return s, err
}

// objectNetwork is the network data of the object form, complete; the node's if it has none of its own. How strictly either is
// judged is the caller's.
func objectNetwork(object, node map[string]any, judge func(map[string]any) (map[string]any, error)) (map[string]any, error) {
	value, given := object["network_data"]
	if given && value == nil {
		return nil, nil
	}
	data, err := part(object, "network_data")
	if err == nil {
		data, err = judge(data)
	}
	if err == nil && data == nil {
		return judge(node)
	}
	return data, err
}

func part(object map[string]any, key string) (map[string]any, error) {
	switch v := object[key].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	}
	return nil, fault.New(fault.Invalid, "%q in the config drive must be an object.", key)
}

func userData(v any) (secret.Secret, error) {
	switch v := v.(type) {
	case nil:
		return secret.Secret{}, nil
	case string:
		return secret.New(v), nil
	case map[string]any:
		if len(v) == 0 {
			return secret.Secret{}, nil
		}
	case []any:
		if len(v) == 0 {
			return secret.Secret{}, nil
		}
	default:
		return secret.Secret{}, fault.New(fault.Invalid, "user_data in the config drive must be a string, an object, a list or null.")
	}
	b, err := marshal(v)
	if err != nil {
		return secret.Secret{}, fault.Wrap(fault.Invalid, err, "The user_data of the config drive cannot be written as JSON.")
	}
	return secret.New(string(b)), nil
}
