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
	if w := s.c.Vendordata.Examine(o); len(w.Unproved) > 0 {
		s.log.Warn("vendordata targets cannot know who asks: see [vendordata_dynamic_auth] auth_url, [api] vendordata_dynamic_signing_keyfile and vendordata_dynamic_client_certfile", "targets", w.Unproved)
	}
	o.Watch = s.watch.m.Vendordata
	if s.vendordata, err = vendordata.New(s.c.Vendordata, o, s.log); err != nil {
		return err
	}
	s.onClose(s.vendordata.Close)
	s.service.AskVendordata(s.vendordata)
	return nil
}

// proveVendordata is how this server shows targets who it is, if there are any.
func proveVendordata(c config.Config, log *slog.Logger) (vendordata.Options, error) {
	if !c.Vendordata.Dynamic() {
		return vendordata.Options{}, nil
	}
	return vendordata.Prove(c.VendordataAuth, c.VendordataProof, log)
}
