package main

import "ingot/internal/vendordata"

// openVendordata makes ready what asks the operator's servers about instances: for deploys, for the metadata service, and for who
// wants to see it.
func (s *server) openVendordata() (err error) {
	o := vendordata.Options{Watch: s.watch.m.Vendordata}
	if s.vendordata, err = vendordata.New(s.c.Vendordata, o, s.log); err != nil {
		return err
	}
	s.onClose(s.vendordata.Close)
	return nil
}
