package main

import (
	"log/slog"

	"ingot/internal/config"
	"ingot/internal/vendordata"
)

// openVendordata makes ready what asks the operator's servers about instances: for deploys, for the metadata service, and for who
// wants to see it.
func (s *server) openVendordata() error {
	o, err := proveVendordata(s.c, s.log)
	if err != nil {
		return err
	}
	o.Watch = s.watch.m.Vendordata
	if s.vendordata, err = vendordata.New(s.c.Vendordata, o, s.log); err != nil {
		return err
	}
	s.onClose(s.vendordata.Close)
	s.service.AskVendordata(s.vendordata)
	return nil
}

// proveVendordata is how this server shows targets who it is.
func proveVendordata(_ config.Config, _ *slog.Logger) (vendordata.Options, error) {
	return vendordata.Options{}, nil
}
