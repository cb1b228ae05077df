package ops

import (
	"cmp"
	"context"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/source"
	"ingot/internal/store"
	"ingot/internal/vendordata"
)

// vendordataRule is the right to have the targets called: they are told an instance's user data, and may act on what they hear.
const vendordataRule policy.Rule = "ingot:vendordata:test"

// AskVendordata tells which targets TestVendordata asks. It is called before the first request.
func (s *Service) AskVendordata(v *vendordata.Service) { s.vendordata = v }

// TestVendordata asks the vendordata targets what a node's deployment asks them, and tells what came of it. With fresh all are
// asked; else an answer is used as the metadata service would use it, for as long as its target allows.
func (s *Service) TestVendordata(ctx context.Context, c Caller, ident string, fresh bool) (*metal.VendordataTest, error) {
	q, err := s.vendordataQuestion(ctx, c, ident)
	if err != nil {
		return nil, err
	}
	if len(s.vendordata.Targets()) == 0 && len(s.vendordata.Static()) == 0 {
		return nil, fault.New(fault.NotSupported, "This server has no vendordata: see [api] vendordata_providers and docs/guides/vendordata.md.")
	}
	out := &metal.VendordataTest{Node: q.node.UUID, Instance: q.ask.InstanceID, Deployed: q.deployed, Fatal: s.vendordata.Fatal(), Static: len(s.vendordata.Static()), Targets: []metal.VendordataTold{}}
	if string(s.vendordata.Static()) == "{}" { // what an instance gets where no file is configured
		out.Static = 0
	}
	var got vendordata.Answers
	if fresh || q.served == "" {
		got, err = s.vendordata.Fetch(ctx, q.ask)
	} else {
		got, err = s.vendordata.Fresh(ctx, q.node.UUID+"/"+q.served, q.ask, q.answers)
	}
	if err != nil && (ctx.Err() != nil || len(got.Failed()) == 0) { // else the targets' failures are the answer
		return nil, err
	}
	out.Failed = err != nil
	for _, r := range s.vendordata.Report(got) {
		out.Targets = append(out.Targets, metal.VendordataTold(r))
	}
	return out, nil
}

// question is what the targets are asked for a node.
type question struct {
	node     *metal.Node
	ask      vendordata.Request
	deployed bool
	answers  vendordata.Answers // of the instance that is served
	served   string             // its deployment, as the metadata service names it to the room vendordata; "": nobody is served, or as it was given
}

// vendordataQuestion is that of the node's last deployment or, without one, what is known of a deployment by who asks now.
func (s *Service) vendordataQuestion(ctx context.Context, c Caller, ident string) (*question, error) {
	var q question
	var ask secret.Secret
	var i *store.Instance
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		if q.node, err = c.node(tx, ident, vendordataRule); err != nil {
			return err
		}
		if ask, err = tx.InstanceRequest(q.node); err != nil {
			return err
		}
		i, err = tx.Instance(q.node)
		return err
	})
	if err != nil {
		return nil, err
	}
	if i != nil && !i.Answers.Empty() {
		q.served = i.Deploy
		if q.answers, err = vendordata.DecodeAnswers([]byte(i.Answers.Expose())); err != nil {
			return nil, err
		}
	}
	if q.deployed = !ask.Empty(); q.deployed {
		q.ask, err = vendordata.DecodeRequest([]byte(ask.Expose()))
		return &q, err
	}
	who := c.Rights.Who()
	image := q.node.InstanceInfo.Public("image_source")
	if strings.Contains(image, "://") {
		image = source.Safe(image)
	}
	q.ask = vendordata.Request{ProjectID: cmp.Or(q.node.Lessee, q.node.Owner, who.ProjectID), InstanceID: cmp.Or(q.node.InstanceUUID, q.node.UUID), ImageID: image,
		Hostname: q.node.Name, BootRoles: who.Roles}
	return &q, nil
}
