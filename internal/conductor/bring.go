package conductor

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/origin"
	"ingot/internal/source"
)

// Images brings images to where machines fetch them, on a boot host or on this server, so that no machine needs a way to
// where they are from.
type Images interface {
	// Bring verifies the image and has it where the node's machine fetches it, until the node's images are dropped or the
	// time is over. where is that place in words. Done twice, or for several nodes, it is there once. fault.Conflict:
	// somebody else brings it just now.
	Bring(ctx context.Context, node string, i Image, until time.Time) (url, where string, err error)
	// Validate fetches the image, verifies and judges it whole, and keeps nothing of it: its machine will fetch it elsewhere. The
	// errors are as Bring's.
	Validate(ctx context.Context, node string, i Image) error
	// Drop gives up what was brought for a node; nothing there is no error.
	Drop(ctx context.Context, node string) error
	// BootFile is an image that was brought here, as a file that machines boot: its name on the shelf of this server, its size, its SHA-256.
	BootFile(i Image) (metal.BootFile, error)
	// Hosts tells whether machines fetch from boot hosts: then image files of a server come there, too.
	Hosts() bool
}

// Image is one that is to be brought.
type Image struct {
	URL       string `json:"url,omitempty"`    // http or https
	File      string `json:"file,omitempty"`   // or a file of this server
	Source    string `json:"source,omitempty"` // the image_source that it is; it may hold secrets
	Name      string `json:"name,omitempty"`   // for people
	As        string `json:"as,omitempty"`     // the last part of its address there; "": image
	Algorithm string `json:"algorithm"`        // sha256 or sha512, of the bytes as they are there
	Hex       string `json:"hex"`
	// Declared and Partition are how it is to be judged.
	Declared  string `json:"declared,omitempty"`
	Partition bool   `json:"partition,omitempty"`
	Size      int64  `json:"size,omitempty"` // bytes that it must have; 0: not known
	// Access gives how it is fetched now; nil: with the defaults.
	Access func(context.Context) (source.Options, error) `json:"-"`
}

// BringImages sets who brings images. It is called before Run.
func (c *Conductor) BringImages(i Images) { c.images = i }

// The sources of images: from the image's own address, or from us.
const (
	imageByHTTP  = "http"
	imageByLocal = "local"
)

// imageSource says from where the machine gets its image: the first of instance_info, driver_info and the configuration.
// A machine whose agent is only polled gets it from us. Source: images reference §3.
func (c *Conductor) imageSource(n *metal.Node, polled bool) (string, error) {
	given, _ := n.InstanceInfo.Expose()["image_download_source"].(string)
	if given == "" {
		given, _ = n.DriverInfo.Expose()["image_download_source"].(string)
	}
	if polled {
		if given == imageByHTTP {
			return "", fault.New(fault.Invalid, "node %s is only polled, so its machine fetches its image from a boot host alone: "+
				"remove image_download_source http from its instance_info or driver_info, or set it to local", n.UUID)
		}
		given = cmp.Or(given, imageByLocal)
	}
	if given == "" {
		given = c.config.ImageSource
	}
	switch given {
	case "", imageByHTTP:
		return imageByHTTP, nil
	case imageByLocal:
		return imageByLocal, nil
	case "swift":
		return "", fault.New(fault.Invalid, "image_download_source is swift, and this server has no Swift: set it to http or local in instance_info or driver_info of node %s", n.UUID)
	}
	return "", fault.New(fault.Invalid, "image_download_source is %q: set it to http or local in instance_info or driver_info of node %s", given, n.UUID)
}

// planImage notes that the image is to be brought, if it is.
func (r *runner) planImage(op *Op, f origin.Found, partition bool) error {
	op.Rec.Bring, op.Rec.Validate = nil, nil
	i := Image{URL: f.URL, File: f.File, Source: f.Source, Name: f.Name, Algorithm: f.Digest.Algorithm, Hex: f.Digest.Hex, Size: f.Size, Declared: f.Format, Partition: partition}
	from, err := r.c.imageSource(op.Node, op.Rec.PollOnly)
	if err == nil && op.Rec.PollOnly && (r.c.images == nil || !r.c.images.Hosts()) {
		err = r.c.checkPolled(op.Node, r.hw.Part, true, r.ownISO(op))
	}
	if err == nil && f.Through && r.c.images == nil {
		err = fault.New(fault.Unavailable, "this server brings no images, and a machine cannot fetch from Glance by itself")
	}
	if err != nil || r.c.images == nil {
		return err
	}
	if i.File == "" && (from == imageByLocal || f.Through) || i.File != "" && r.c.images.Hosts() {
		op.Rec.Bring = &i
	} else if r.c.config.ValidateImages {
		op.Rec.Validate = &i
	}
	return nil
}

func noBring(op *Op) bool { return op.Rec.Bring == nil && op.Rec.Validate == nil }

// bringImage has the image where the machine will fetch it. That it is to be there was saved before, so that whoever ends the
// operation drops it.
func (r *runner) bringImage(ctx context.Context, op *Op) (Outcome, error) {
	if r.c.images == nil {
		return Outcome{}, fault.New(fault.Unavailable, "this server brings no images")
	}
	if op.Rec.Validate != nil {
		return r.validateImage(ctx, op)
	}
	url, where, err := r.c.images.Bring(ctx, op.Node.UUID, r.withAccess(op, op.Rec.Bring), r.c.imageUntil())
	if fault.KindOf(err) == fault.Conflict {
		return again(r.c.config.Poll, "the image, which is being brought for another machine"), nil
	}
	if err != nil {
		return r.awaitMemory(op, err)
	}
	if op.Rec.PollOnly {
		if err := r.c.refuseOwn(ctx, op.Node, "the image as the boot host offers it", url); err != nil {
			return Outcome{}, err
		}
	}
	op.Rec.Image.URLs, op.Rec.ImageFile, op.Rec.ImageBy, op.Rec.ImageFrom = []string{url}, "", r.c.process, ""
	r.event(op, "step", "INFO", "The image was verified and is "+where+".")
	return done, nil
}

// validateImage reads an image whole which the machine will fetch itself, so that what is wrong with it is known while the machine
// is still as it was.
func (r *runner) validateImage(ctx context.Context, op *Op) (Outcome, error) {
	err := r.c.images.Validate(ctx, op.Node.UUID, r.withAccess(op, op.Rec.Validate))
	if fault.KindOf(err) == fault.Conflict {
		return again(r.c.config.Poll, "the image, which is being fetched for another machine"), nil
	}
	if err != nil {
		return r.awaitMemory(op, err)
	}
	op.Rec.Validate = nil
	r.event(op, "step", "INFO", "The image was fetched once to verify and judge it: its checksum is right and it may be written.")
	return done, nil
}

// withAccess is an image with what opens it, which is asked for when it is fetched.
func (r *runner) withAccess(op *Op, i *Image) Image {
	out := *i
	out.Access = func(ctx context.Context) (source.Options, error) {
		o := r.c.origins.Rules()
		if i.Source != "" {
			var err error
			if o, err = r.c.origins.Access(ctx, op.Node, i.Source, i.URL); err != nil {
				return o, err
			}
		}
		o.Size = i.Size
		return o, nil
	}
	return out
}

// bringAgain brings the image once more when the machine could not write it: the place where it was may be gone. anew is
// false when it is still there, and so was not the reason.
func (r *runner) bringAgain(ctx context.Context, op *Op) (anew bool, err error) {
	if op.Rec.Bring == nil || r.c.images == nil {
		return false, nil
	}
	was := strings.Join(op.Rec.Image.URLs, " ")
	if _, err := r.bringImage(ctx, op); err != nil {
		return false, fmt.Errorf("bring the image once more: %w", err)
	}
	return strings.Join(op.Rec.Image.URLs, " ") != was, nil
}

// imageUntil is until when an image that is brought now may be needed.
func (c *Conductor) imageUntil() time.Time {
	return time.Now().Add(min(c.config.longestCallback()+c.config.WriteLimit, 31*24*time.Hour) + time.Hour)
}

// dropImage gives up the image that was brought. A boot host that does not answer removes it when it expires.
func (r *runner) dropImage(ctx context.Context, op *Op) {
	if op.Rec.Bring == nil && op.Rec.ISO == nil && op.Rec.Installer == nil || r.c.images == nil {
		return
	}
	op.Rec.Bring, op.Rec.ISO, op.Rec.Installer, op.Rec.ISOURL, op.Rec.ISOBy = nil, nil, nil, "", ""
	call, cancel := context.WithTimeout(ctx, withdrawLimit)
	defer cancel()
	if err := r.c.images.Drop(call, op.Node.UUID); err != nil {
		r.log.Warn("image not withdrawn", "error", err)
		r.event(op, "step", "INFO", fmt.Sprintf("The image stays on a boot host until it expires there: %s", sentence(err)))
	}
}

func (r *runner) dropImageUndo(ctx context.Context, op *Op) error {
	r.dropImage(ctx, op)
	return nil
}
