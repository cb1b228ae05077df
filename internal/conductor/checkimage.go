package conductor

import (
	"context"
	"encoding/base64"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/metal"
	"ingot/internal/origin"
	"ingot/internal/source"
)

// FindImages sets who knows where images come from, and what opens them. It is called before Run; without it the defaults count.
func (c *Conductor) FindImages(r *origin.Resolver) { c.origins = r }

// checkImage finds out what is to be written and how it is verified, before the machine is touched.
func (r *runner) checkImage(ctx context.Context, op *Op) (Outcome, error) {
	declared, err := image.ReadDeclared(op.Node.InstanceInfo.Expose())
	if err == nil && declared.Partition {
		err = partitionFits(op)
	}
	if err != nil {
		return Outcome{}, err
	}
	if op.Rec.PollOnly {
		if err := r.c.refuseOwn(ctx, op.Node, "image_source", op.Node.InstanceInfo.Public("image_source")); err != nil {
			return Outcome{}, err
		}
	}
	found, err := r.c.origins.Find(ctx, op.Node)
	if err != nil {
		return Outcome{}, err
	}
	address, from, err := r.addressOf(ctx, op, &found)
	if err != nil {
		return Outcome{}, err
	}
	format, err := r.lookInto(ctx, op, address, lookLimit, image.Options{Declared: found.Format, Partition: declared.Partition, MaxSize: declared.RootGB << 30}, from)
	if err != nil {
		return Outcome{}, err
	}
	if err := r.planImage(op, found, declared.Partition); err != nil {
		return Outcome{}, err
	}
	op.Rec.Image = &agentapi.ImageInfo{ID: imageName(address), ImageRules: agentRules(r.c.config.ImageRules), URLs: []string{address}, DiskFormat: format, ContainerFormat: "bare",
		ImageType: "whole-disk", HashAlgo: found.Digest.Algorithm, HashValue: found.Digest.Hex, Size: found.Size, StreamRaw: true, NodeUUID: op.Node.UUID}
	if declared.Partition {
		op.Rec.Image.ImageType = "partition"
		op.Rec.Image.Partitions = &agentapi.Partitions{RootGB: declared.RootGB, RootMB: declared.RootGB << 10, SwapMB: declared.SwapMB,
			BootMode: string(metal.UEFI), BootOption: "local", DiskLabel: image.GPT}
	}
	return done, nil
}

// addressOf is where the image is, and how it is fetched from there. A file of this server is offered by it; one that nobody gave a
// checksum of gets its own.
func (r *runner) addressOf(ctx context.Context, op *Op, f *origin.Found) (string, source.Options, error) {
	op.Rec.ImageFile, op.Rec.ImageBy, op.Rec.ImageFrom = "", "", f.Source
	if f.Kind != source.FileOf {
		from, err := r.c.origins.Access(ctx, op.Node, f.Source, f.URL)
		from.Size = f.Size
		return f.URL, from, err
	}
	op.Rec.ImageFile, op.Rec.ImageBy, op.Rec.ImageFrom = f.File, r.c.process, ""
	address, err := r.c.depot.File(f.File, time.Now().Add(r.c.config.WriteLimit+r.c.config.DeployCallbackLimit))
	if err == nil && f.Digest.Hex == "" {
		if f.Digest, err = source.Compute(ctx, address, source.Options{}); err == nil {
			r.event(op, "step", "INFO", "Nobody gave a checksum of the image file: what is written is verified against the file as it is now, "+f.Digest.Algorithm+" "+f.Digest.Hex+".")
		}
	}
	return address, source.Options{}, err
}

// imageForAgent is what the agent is told of the image: besides what is kept, what opens it now.
func (r *runner) imageForAgent(ctx context.Context, op *Op) (*agentapi.ImageInfo, error) {
	if op.Rec.Image == nil {
		return nil, fault.New(fault.Conflict, "nothing is known of the image any more")
	}
	i := *op.Rec.Image
	rules := r.c.origins.Rules()
	i.Refused, i.AllowMD5 = r.c.origins.Refused(), rules.MD5
	if op.Rec.ImageFrom == "" {
		return &i, nil
	}
	o, err := r.c.origins.Access(ctx, op.Node, op.Rec.ImageFrom, i.URLs[0])
	if err != nil {
		return nil, err
	}
	i.CA = o.CA
	switch {
	case !o.Authorization.Empty():
		i.ImageAccess = &agentapi.ImageAccess{Authorization: base64.StdEncoding.EncodeToString([]byte(o.Authorization.Expose()))}
	case o.User != "":
		i.ImageAccess = &agentapi.ImageAccess{AuthStrategy: agentapi.HTTPBasic, User: o.User, Password: o.Password.Expose()}
	}
	return &i, nil
}
