package conductor

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/source"
	"ingot/internal/store"
	"ingot/internal/vendordata"
)

// UseVendordata tells who asks the operator's vendordata targets. It is called before Run.
func (c *Conductor) UseVendordata(s *vendordata.Service) { c.vendordata = s }

// metadataLimit is how long it may take to prepare what the instance reads: a drive that is fetched, the targets, and the time
// that it may wait for memory.
func metadataLimit(c *Config) time.Duration { return 20*time.Minute + c.Memory.longest() }

// randomSeed is how many random bytes each instance gets. Source: metadata reference §2.1.
const randomSeed = 512

// prepared is what a deployment is about to keep of its instance.
type prepared struct {
	seed    *seed.Seed
	request vendordata.Request
	answers secret.Secret // empty: a ready drive was given, which is served as it is
}

// prepareMetadata renders what the instance reads and has the vendordata targets asked, before the machine is touched. All of
// it is kept with the step's outcome, and everything after it, the config drive and the metadata service, is made of what was
// kept. So a target is asked once; again only if this process dies between the answer and its record, and then nothing was
// made of the first answer.
func (r *runner) prepareMetadata(ctx context.Context, op *Op) (Outcome, error) {
	given, size, err := r.givenDrive(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	if at, is := given.(string); is && strings.Contains(at, "://") {
		return r.fetchDrive(ctx, op, at)
	}
	return r.withMemory(op, "preparing the instance's metadata", driveCopies*size, func() (Outcome, error) { return r.prepareInstance(ctx, op, given) })
}

// givenDrive is the config drive as it was given (nil, a string or an object), and about how large it is.
func (r *runner) givenDrive(ctx context.Context, op *Op) (given any, size int64, err error) {
	err = r.c.db.Read(ctx, func(tx *store.Tx) error {
		if given, err = tx.ConfigDrive(op.Node); err != nil {
			return err
		}
		size, err = tx.ConfigDriveSize(op.Node)
		return err
	})
	if given == "" {
		given = nil
	}
	return given, size, err
}

// prepareInstance is prepareMetadata with the drive at hand.
func (r *runner) prepareInstance(ctx context.Context, op *Op, given any) (Outcome, error) {
	to, err := r.bootFor(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	defaults := defaultsFor(op.Node, to)
	if defaults.NetworkData == nil && tellsNoNetwork(given) {
		if defaults.NetworkData, err = r.describeNetwork(ctx, op); err != nil {
			return Outcome{}, err
		}
	}
	var p prepared
	switch d := given.(type) {
	case string:
		p.seed, err = r.readDrive(op, d, defaults)
		op.Rec.ConfigDrive = "" // a node whose deploy interface boots nothing gets no drive
		if op.Rec.Ramdisk {
			op.Rec.ConfigDrive = d
		}
	case map[string]any:
		p.seed, err = seed.FromObject(d, defaults)
	default:
		p.seed, err = seed.Render(defaults)
	}
	if err != nil {
		return Outcome{}, err
	}
	if _, ready := given.(string); !ready {
		if p.seed, err = r.renamed(ctx, op, p.seed); err != nil {
			return Outcome{}, err
		}
	}
	p.request = requestFor(op.Node, to, p.seed)
	if _, ready := given.(string); !ready {
		if err := r.askTargets(ctx, op, &p); err != nil {
			return Outcome{}, err
		}
	}
	op.Also(func(tx *store.Tx, n *metal.Node) error { return saveInstance(tx, n, op.row.UUID, &p) })
	return done, nil
}

// readDrive reads what a ready drive has for the instance. The drive is used as it is, also one that cannot be read here: of
// such a one only what we know ourselves is served.
func (r *runner) readDrive(op *Op, text string, defaults seed.Input) (*seed.Seed, error) {
	if !base64Text.MatchString(text) {
		return nil, fault.New(fault.Invalid, "the config drive is neither a URL nor base64")
	}
	s, err := seed.FromDrive(text)
	if err == nil {
		return s, nil
	}
	r.log.Info("config drive not read", "error", err)
	r.event(op, "step", "WARN", fmt.Sprintf("The config drive is used as it was given, but its files cannot be served to the instance: %s", sentence(err)))
	return seed.Render(defaults)
}

// bootFor is for whom the instance is: as the request of its deployment said. A rebuild keeps it, whoever asks for that, but
// who may speak for another project alone; where nothing is kept, as of a node that was adopted, who asks counts.
func (r *runner) bootFor(ctx context.Context, op *Op) (to metal.BootFor, err error) {
	to.Project = cmp.Or(op.Node.Lessee, op.Node.Owner)
	if op.Rec.Ask.BootFor != nil {
		to = *op.Rec.Ask.BootFor
	}
	if op.row.Verb != string(metal.VerbRebuild) {
		return to, nil
	}
	var kept secret.Secret
	err = r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		kept, err = tx.InstanceRequest(op.Node)
		return err
	})
	if err != nil || kept.Empty() {
		return to, err
	}
	was, err := vendordata.DecodeRequest([]byte(kept.Expose()))
	if err == nil && to.Own && to.Project != was.ProjectID { // a node that was lent on, or its owner
		r.event(op, "step", "WARN", fmt.Sprintf("The instance was deployed for project %q and is rebuilt by project %q: from now on it is that one's, with the roles of who asked.", was.ProjectID, to.Project))
		return to, nil
	}
	return metal.BootFor{Roles: was.BootRoles, Project: was.ProjectID}, err
}

// defaultsFor is what an instance reads of which its user says nothing.
func defaultsFor(n *metal.Node, to metal.BootFor) seed.Input {
	random := make([]byte, randomSeed)
	rand.Read(random)
	return seed.Input{UUID: instanceID(n), Name: cmp.Or(n.Name, n.UUID), Hostname: cmp.Or(n.Name, n.UUID), ProjectID: to.Project, ImageID: imageID(n),
		InstanceType: n.ResourceClass, RandomSeed: random, NetworkData: readable(n.NetworkData)}
}

// readable is a node's network data if there is any and an instance can read it. It is for the ramdisk in the first place, and an operator's own
// schema may allow what nobody else knows ([api] network_data_schema).
func readable(data map[string]any) map[string]any {
	if len(data) == 0 || seed.CheckNetworkData(data) != nil {
		return nil
	}
	return data
}

// instanceID is what an instance is known by.
func instanceID(n *metal.Node) string { return cmp.Or(n.InstanceUUID, n.UUID) }

// imageID names the image, without what a URL keeps secret.
func imageID(n *metal.Node) string {
	image := n.InstanceInfo.Public("image_source")
	if strings.Contains(image, "://") {
		return source.Safe(image)
	}
	return image
}

// requestFor is what the targets are told: who the instance is by our own word, and what its user says of it.
func requestFor(n *metal.Node, to metal.BootFor, s *seed.Seed) vendordata.Request {
	var meta struct {
		Hostname string         `json:"hostname"`
		Meta     map[string]any `json:"meta"`
	}
	if raw, has := s.File(seed.MetaData); has {
		_ = json.Unmarshal(raw, &meta) // a user's; what is of another shape says nothing
	}
	host, _, _ := strings.Cut(cmp.Or(meta.Hostname, n.Name, n.UUID), ".")
	req := vendordata.Request{ProjectID: to.Project, InstanceID: instanceID(n), ImageID: imageID(n), Hostname: host, BootRoles: to.Roles, Metadata: map[string]string{}}
	for key, value := range meta.Meta {
		if text, is := value.(string); is {
			req.Metadata[key] = text
		}
	}
	if user, has := s.File(seed.UserData); has {
		req.UserData = secret.New(string(user))
	}
	return req
}

// askTargets has every target asked once, and merges what they say. It is not tried again: a target that hands out what is good
// once has handed it out.
func (r *runner) askTargets(ctx context.Context, op *Op, p *prepared) error {
	answers, err := r.c.vendordata.Fetch(ctx, p.request)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "%s", sentence(err))
	}
	if why := answers.Why(); why != "" {
		r.log.Warn("vendordata is missing", "targets", strings.Join(answers.Failed(), ", "))
		r.event(op, "step", "WARN", why+" The instance reads {} in its place.")
	}
	p.answers = secret.New(string(answers.Encode()))
	static := r.c.vendordata.Static()
	if static == nil && len(r.c.vendordata.Targets()) == 0 {
		return nil
	}
	all := answers.VendorData2(static)
	if names := p.seed.Shadowed(all); len(names) > 0 {
		r.event(op, "step", "WARN", fmt.Sprintf("The operator's vendordata replaces what the instance's own vendor_data says under %s.", strings.Join(names, ", ")))
	}
	p.seed = p.seed.WithVendorData2(all)
	return nil
}

// saveInstance keeps what was prepared, and the addresses that the instance gives itself.
func saveInstance(tx *store.Tx, n *metal.Node, deploy string, p *prepared) error {
	err := tx.SaveInstance(n, &store.Instance{ID: p.request.InstanceID, Project: p.request.ProjectID, Deploy: deploy, Seed: secret.New(string(p.seed.Encode())),
		Answers: p.answers, Request: secret.New(string(p.request.Encode()))})
	if err != nil {
		return err
	}
	planned, claimed := byClaim(staticAddresses(p.seed), n)
	if err := tx.SaveInstanceAddresses(n.ID, store.FromNode, planned); err != nil {
		return err
	}
	return tx.SaveInstanceAddresses(n.ID, store.FromNetworkData, claimed)
}
