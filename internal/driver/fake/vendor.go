package fake

import (
	"context"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// vendorMethods are what the vendor interface "fake" does, and the word for which each says yes: "" for one that
// takes anything and returns nothing. Names and words are upstream's: ironic/drivers/modules/fake.py.
var vendorMethods = map[string]struct {
	metal.VendorMethod
	word string
}{
	"second_method": {metal.VendorMethod{HTTP: []string{"POST"}, Async: true, Exclusive: true,
		Description: "Says whether bar is kazoo, to nobody: it is asynchronous."}, "kazoo"},
	"third_method_sync": {metal.VendorMethod{HTTP: []string{"POST"}, Exclusive: true,
		Description: "Says whether bar is meow."}, "meow"},
	"fourth_method_shared_lock": {metal.VendorMethod{HTTP: []string{"POST"}, Async: true,
		Description: "Says whether bar is woof, to nobody, and works while the node is locked."}, "woof"},
	"log_passthrough": {metal.VendorMethod{HTTP: []string{"POST"}, Async: true, Exclusive: true,
		Description: "Takes anything and does nothing."}, ""},
}

// VendorMethods lists them.
func (d *Driver) VendorMethods(*metal.Node) map[string]metal.VendorMethod {
	out := make(map[string]metal.VendorMethod, len(vendorMethods))
	for name, m := range vendorMethods {
		out[name] = m.VendorMethod
	}
	return out
}

// CheckVendor wants bar, and nothing else, where a method looks at it.
func (d *Driver) CheckVendor(_ *metal.Node, c metal.VendorCall) error {
	m := vendorMethods[c.Method]
	args, _ := c.Args.(map[string]any)
	if m.word == "" {
		return nil
	}
	if bar, _ := args["bar"].(string); bar == "" {
		return fault.New(fault.Invalid, "Parameter 'bar' not passed to method '%s'.", c.Method)
	}
	if len(args) > 1 {
		return fault.New(fault.Invalid, "The method %s takes the parameter bar only.", c.Method)
	}
	return nil
}

// CallVendor does what CheckVendor has let through.
func (d *Driver) CallVendor(ctx context.Context, _ *metal.Node, c metal.VendorCall) (any, error) {
	m := vendorMethods[c.Method]
	if m.word == "" {
		return nil, ctx.Err()
	}
	args, _ := c.Args.(map[string]any)
	return args["bar"] == m.word, ctx.Err()
}
