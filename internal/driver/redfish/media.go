package redfish

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// InsertMedia puts the ISO at image (http or https; the BMC fetches it by itself) into a virtual CD drive
// and sees it there. What else is in the machine's CD drives is ejected first. An image that is in already
// stays. A BMC that accepts and then has an empty drive is fault.Internal.
func (d *Driver) InsertMedia(ctx context.Context, n *metal.Node, image string) error {
	u, err := url.Parse(image)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return fault.New(fault.Invalid, "virtual media needs an http or https URL")
	}
	return d.call(ctx, n, "insert virtual media", func(c *call) error {
		c.hide = append(c.hide, secretsOf(u)...)
		return c.insert(u)
	})
}

// EjectMedia empties the machine's virtual CD drives; empty ones are left alone.
func (d *Driver) EjectMedia(ctx context.Context, n *metal.Node) error {
	return d.call(ctx, n, "eject virtual media", func(c *call) error {
		drives, err := c.drives()
		if err != nil {
			return err
		}
		return c.ejectAll(drives, nil)
	})
}

// Media is the URL in the drive, "" for an empty one. Of a BMC that hides URLs it is the image's name, or "unknown".
func (d *Driver) Media(ctx context.Context, n *metal.Node) (string, error) {
	var image string
	err := d.call(ctx, n, "tell what is in its virtual drives", func(c *call) error {
		drives, err := c.drives()
		if err != nil {
			return err
		}
		for _, v := range drives {
			if holding(v) {
				image = firstOf(v.Image, v.ImageName, "unknown")
				return nil
			}
		}
		return nil
	})
	return image, err
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// secretsOf lists the parts of an image's URL that no error may show: it may be signed.
func secretsOf(u *url.URL) []string {
	var s []string
	if u.User != nil {
		s = append(s, u.User.String())
	}
	if u.RawQuery != "" {
		s = append(s, u.RawQuery)
	}
	// Whoever knows the path of a boot ISO may fetch it; a short one is no secret, and part of many words.
	if p := strings.Trim(u.EscapedPath(), "/"); len(p) > 10 {
		s = append(s, p)
	}
	return s
}

// drives lists the machine's virtual drives for CDs: those of the machine itself, or else of its managers,
// where they were until 2020. Source: DMTF ComputerSystem v1.13.0 added VirtualMedia.
func (c *call) drives() ([]*schemas.VirtualMedia, error) {
	s, err := c.system()
	if err != nil {
		return nil, err
	}
	l, err := linksOf(s)
	if err != nil {
		return nil, err
	}
	drives, err := c.drivesAt(l.VirtualMedia.URI)
	if err != nil || len(drives) > 0 {
		return drives, err
	}
	managers := make([]string, 0, len(l.Links.ManagedBy))
	for _, m := range l.Links.ManagedBy {
		managers = append(managers, m.URI)
	}
	if len(managers) == 0 {
		if managers, err = c.members(managersPath, maxMembers); err != nil {
			return nil, err
		}
	}
	for _, m := range managers[:min(len(managers), maxMembers)] {
		var manager struct{ VirtualMedia link }
		if err := c.read(m, &manager); err != nil {
			return nil, err
		}
		found, err := c.drivesAt(manager.VirtualMedia.URI)
		if err != nil {
			return nil, err
		}
		drives = append(drives, found...)
	}
	if len(drives) == 0 {
		return nil, fault.New(fault.NotSupported, "the BMC at %s offers no virtual CD drive: its licence or its settings may forbid it", c.bmc.host)
	}
	return drives, nil
}

func (c *call) drivesAt(uri string) ([]*schemas.VirtualMedia, error) {
	if uri == "" {
		return nil, nil
	}
	members, err := c.members(uri, maxMembers)
	if statusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var drives []*schemas.VirtualMedia
	for _, m := range members {
		v, err := c.drive(m)
		if err != nil {
			return nil, err
		}
		if takesCDs(v) && strings.HasPrefix(v.ID, c.quirk.slots) {
			drives = append(drives, v)
		}
	}
	return drives, nil
}

func (c *call) drive(uri string) (*schemas.VirtualMedia, error) {
	v, err := schemas.GetObject[schemas.VirtualMedia](c, uri)
	if err != nil {
		return nil, err
	}
	v.ODataID = uri
	if c.quirk.emptyGhost && v.ConnectedVia == schemas.NotConnectedConnectedVia {
		empty := false
		v.Inserted, v.Image, v.ImageName = &empty, "", ""
	}
	return v, nil
}

func takesCDs(v *schemas.VirtualMedia) bool {
	types := v.MediaTypes
	if len(types) == 0 && v.MediaType != "" {
		types = []schemas.VirtualMediaType{v.MediaType}
	}
	if len(types) > 0 {
		return slices.Contains(types, schemas.CDVirtualMediaType) || slices.Contains(types, schemas.DVDVirtualMediaType)
	}
	id := strings.ToLower(v.ID)
	return strings.Contains(id, "cd") || strings.Contains(id, "dvd")
}

// holding tells whether the machine sees a medium in the drive.
func holding(v *schemas.VirtualMedia) bool {
	if v.Inserted != nil {
		return *v.Inserted
	}
	return v.Image != "" || v.ImageName != ""
}

// occupied tells whether a drive must be ejected before it takes another image: some keep an image attached
// that they do not show to the machine.
func occupied(v *schemas.VirtualMedia) bool { return holding(v) || v.Image != "" }

// holds tells whether image is in the drive. Some BMCs cut a URL's user and query off when they show it.
func holds(v *schemas.VirtualMedia, image *url.URL) bool {
	if !holding(v) {
		return false
	}
	if v.Image == image.String() {
		return true
	}
	shown, err := url.Parse(v.Image)
	return err == nil && shown.RawQuery == "" && shown.Scheme == image.Scheme && shown.Host == image.Host &&
		shown.Path == image.Path && shown.Path != ""
}

// insert looks, ejects what is in the way, inserts and looks again, and does all of that again when the BMC
// stumbles: some answer 5xx while an eject is still under way (Dell; OpenStack story 2008504).
func (c *call) insert(image *url.URL) error {
	for try := 1; ; try++ {
		err := c.insertOnce(image)
		if err == nil || !passing(err) || try >= c.bmc.cfg.Attempts || !c.pause(try) {
			return err
		}
	}
}

func (c *call) insertOnce(image *url.URL) error {
	drives, err := c.drives()
	if err != nil {
		return err
	}
	var has *schemas.VirtualMedia
	for _, v := range drives {
		if has == nil && holds(v, image) {
			has = v
		}
	}
	if err := c.ejectAll(drives, has); err != nil || has != nil {
		return err
	}
	// Those with the action come first: a BMC that has it somewhere means it.
	slices.SortStableFunc(drives, func(a, b *schemas.VirtualMedia) int {
		return rank(a) - rank(b)
	})
	var first error
	for _, v := range drives {
		err := c.insertInto(v, image)
		if err == nil {
			return c.sawInserted(v, image)
		}
		if !refused(err) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func rank(v *schemas.VirtualMedia) int {
	if v.SupportsMediaInsert {
		return 0
	}
	return 1
}

// insertInto asks one drive. Only what is needed is said: Supermicro X11 and X12 refuse Inserted and
// WriteProtected, whose defaults are what we want (openstack/sushy, virtual_media.py); others want the
// transfer spelled out, and say so. A drive without the action is written to (Lenovo SD530; same source).
func (c *call) insertInto(v *schemas.VirtualMedia, image *url.URL) error {
	if !v.SupportsMediaInsert {
		return c.patch(v.ODataID, map[string]any{"Image": image.String(), "Inserted": true, "WriteProtected": true})
	}
	params := &schemas.VirtualMediaInsertMediaParameters{Image: image.String()}
	_, err := v.InsertMedia(params)
	for range insertWords { // one round per parameter that can be missing
		if !refused(err) || !addMissing(params, err, image) {
			return err
		}
		_, err = v.InsertMedia(params)
	}
	return err
}

// addMissing adds a parameter that a refusal names, if it is one we can fill in.
func addMissing(p *schemas.VirtualMediaInsertMediaParameters, err error, image *url.URL) bool {
	said := err.Error()
	for _, w := range insertWords {
		if w.absent(p) && strings.Contains(said, w.word) {
			w.add(p, image)
			return true
		}
	}
	return false
}

// sawInserted waits until the drive shows an image. It was empty before, so one under a name of the BMC's
// own counts.
func (c *call) sawInserted(v *schemas.VirtualMedia, image *url.URL) error {
	ok, err := c.await(func() (bool, error) {
		now, err := c.drive(v.ODataID)
		if err != nil {
			return false, err
		}
		return holding(now) && (now.Image != "" || now.ImageName != ""), nil
	})
	if err != nil || ok {
		return err
	}
	return fault.New(fault.Internal, "the BMC at %s accepted the image but its virtual drive is still empty after %s: "+
		"see that the BMC itself can reach %s://%s", c.bmc.host, c.bmc.cfg.EffectWait, image.Scheme, image.Host)
}

// ejectAll empties every occupied drive but keep, and sees them empty.
func (c *call) ejectAll(drives []*schemas.VirtualMedia, keep *schemas.VirtualMedia) error {
	for _, v := range drives {
		if v == keep || !occupied(v) {
			continue
		}
		if err := c.eject(v); err != nil {
			return err
		}
	}
	return nil
}

// eject empties one drive; a refusal is forgiven when the drive turns out to be empty.
func (c *call) eject(v *schemas.VirtualMedia) error {
	uri := v.ODataID
	for try := 1; ; try++ {
		err := c.ejectOnce(v)
		if err == nil {
			break
		}
		if (!passing(err) && !refused(err)) || !c.pause(try) {
			return err
		}
		now, look := c.drive(uri)
		if look != nil {
			return look
		}
		if !holding(now) {
			return nil
		}
		if refused(err) || try >= c.bmc.cfg.Attempts {
			return err
		}
		v = now
	}
	ok, err := c.await(func() (bool, error) {
		now, err := c.drive(uri)
		return err == nil && !holding(now), err
	})
	if err != nil || ok {
		return err
	}
	return fault.New(fault.Internal, "the BMC at %s accepted to eject its virtual medium but still holds it after %s", c.bmc.host, c.bmc.cfg.EffectWait)
}

func (c *call) ejectOnce(v *schemas.VirtualMedia) error {
	if !v.SupportsMediaEject {
		return c.patch(v.ODataID, map[string]any{"Image": nil, "Inserted": false})
	}
	_, err := v.EjectMedia()
	return err
}
