package metadata

import (
	"context"
	"slices"
	"strings"

	"ingot/internal/store"
)

// key is an instance for the vendordata room: a node's deployment.
func key(node, deploy string) string { return node + "/" + deploy }

// sweep forgets what vendordata targets said of instances that are no more: it may hold secrets of theirs.
func (s *Stored) sweep(ctx context.Context) {
	for _, k := range s.Vendor.Sweep() {
		node, deploy, _ := strings.Cut(k, "/")
		var refs []store.InstanceRef
		err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
			refs, err = tx.InstancesByNode(node)
			return err
		})
		if err != nil {
			return // nobody is hurt: it is looked at again soon
		}
		if !slices.ContainsFunc(refs, func(r store.InstanceRef) bool { return r.Deploy == deploy }) {
			s.Vendor.Forget(k)
		}
	}
}
