package bmc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// drive is the virtual CD drive.
type drive struct {
	image  string // the URL, "" when empty
	last   string // the URL that was in it before; shown by ImageRemains
	path   string // what the machine gets, see Boot.Media
	busy   bool   // an insert or eject is under way
	serial int    // names the files: two images in a row never share one
}

// fetchLimit is how long the download of one image may take.
const fetchLimit = 10 * time.Minute

// mediaClient fetches images. BMCs do not verify the image server's certificate unless told otherwise
// (VirtualMedia.VerifyCertificate, false from the factory), and neither does this.
func mediaClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: true},
		ResponseHeaderTimeout: 30 * time.Second,
		DisableCompression:    true,
	}}
}

// staleImage is what StaleMedia finds in the drive.
const staleImage = "http://198.51.100.66/left-by-somebody.iso"

// findStale puts somebody's old image into an empty drive, if that is planted.
func (b *BMC) findStale() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drive.image == "" && !b.drive.busy {
		if _, ok := b.faults.strike(StaleMedia); ok {
			b.drive.image, b.drive.path = staleImage, ""
		}
	}
}

func (b *BMC) getMedia(*http.Request) (doc, error) {
	b.findStale()
	b.mu.Lock()
	d := b.drive
	b.mu.Unlock()
	out := doc{"@odata.id": MediaPath, "@odata.type": "#VirtualMedia.v1_4_0.VirtualMedia", "Id": "Cd", "Name": "Virtual CD",
		"MediaTypes": []string{"CD", "DVD"}, "Inserted": d.image != "", "Image": nil, "ImageName": nil,
		"ConnectedVia": "NotConnected", "WriteProtected": true, "TransferProtocolType": nil, "VerifyCertificate": false}
	if d.image != "" {
		out["Image"], out["ConnectedVia"] = d.image, "URI"
		if u, err := url.Parse(d.image); err == nil {
			out["ImageName"], out["TransferProtocolType"] = path.Base(u.Path), strings.ToUpper(u.Scheme)
		}
	}
	if d.image == "" && d.last != "" && b.faults.has(ImageRemains) {
		out["Image"], out["Inserted"] = d.last, true // and ConnectedVia says NotConnected
	}
	if !b.faults.has(PatchOnly) {
		out["Actions"] = doc{
			"#VirtualMedia.InsertMedia": doc{"target": MediaPath + "/Actions/VirtualMedia.InsertMedia",
				"TransferProtocolType@Redfish.AllowableValues": []string{"HTTP", "HTTPS"}},
			"#VirtualMedia.EjectMedia": doc{"target": MediaPath + "/Actions/VirtualMedia.EjectMedia"},
		}
	}
	return out, nil
}

func (b *BMC) insertMedia(r *http.Request) (reply, error) {
	if b.faults.has(PatchOnly) {
		return reply{}, notFound(r)
	}
	var ask struct {
		Image                *string
		Inserted             *bool
		WriteProtected       *bool
		MediaType            *string
		TransferMethod       *string
		TransferProtocolType *string
		UserName, Password   *string
	}
	if err := readJSON(r, &ask); err != nil {
		return reply{}, err
	}
	if ask.Image == nil || *ask.Image == "" {
		return reply{}, problem{http.StatusBadRequest, "ActionParameterMissing",
			"The action VirtualMedia.InsertMedia requires the parameter Image to be present in the request body."}
	}
	for name, value := range map[string]*string{"TransferProtocolType": ask.TransferProtocolType, "TransferMethod": ask.TransferMethod} {
		if value == nil && b.faults.has(NeedTransfer) {
			return reply{}, problem{http.StatusBadRequest, "ActionParameterMissing",
				"The action VirtualMedia.InsertMedia requires the parameter " + name + " to be present in the request body."}
		}
	}
	return b.insert(*ask.Image)
}

func (b *BMC) ejectMedia(r *http.Request) (reply, error) {
	if b.faults.has(PatchOnly) {
		return reply{}, notFound(r)
	}
	if err := readJSON(r, &struct{}{}); err != nil {
		return reply{}, err
	}
	return b.eject()
}

// patchMedia is how BMCs without the actions are told: an Image to insert, null or Inserted false to eject
// (DSP2046, VirtualMedia: Image and Inserted are writable).
func (b *BMC) patchMedia(r *http.Request) (reply, error) {
	var ask struct {
		Image                *string
		Inserted             *bool
		WriteProtected       *bool
		TransferMethod       *string
		TransferProtocolType *string
	}
	if err := readJSON(r, &ask); err != nil {
		return reply{}, err
	}
	if ask.Image != nil && *ask.Image != "" && (ask.Inserted == nil || *ask.Inserted) {
		return b.insert(*ask.Image)
	}
	return b.eject()
}

func (b *BMC) insert(image string) (reply, error) {
	b.counters.add("InsertMedia")
	b.findStale()
	u, err := url.Parse(image)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(image) > 2048 {
		return reply{}, problem{http.StatusBadRequest, "PropertyValueFormatError",
			"The value for the property Image is of a different format than the property can accept: an http or https URL."}
	}
	if _, ok := b.faults.strike(RefuseMedia); ok {
		return reply{}, problem{http.StatusInternalServerError, "InternalError",
			"The request failed due to an internal service error: virtual media is not available."}
	}
	if _, ok := b.faults.strike(MediaEmpty); ok {
		return reply{status: http.StatusNoContent}, nil
	}
	return b.change(func(ctx context.Context) error {
		b.mu.Lock()
		old := b.drive
		b.mu.Unlock()
		if old.image != "" {
			return problem{http.StatusConflict, "ResourceInUse",
				"The change to the requested resource failed because the resource is in use: there is media in the drive."}
		}
		file, err := b.download(ctx, u, old.serial+1)
		if err != nil {
			return err
		}
		if err := b.load(ctx, image, file, old.serial+1); err != nil {
			return errors.Join(err, b.discard(file))
		}
		return nil
	})
}

func (b *BMC) eject() (reply, error) {
	b.counters.add("EjectMedia")
	if _, ok := b.faults.strike(EjectIgnored); ok {
		return reply{status: http.StatusNoContent}, nil
	}
	return b.change(func(ctx context.Context) error {
		b.mu.Lock()
		old := b.drive
		b.mu.Unlock()
		if old.image == "" {
			return nil
		}
		if err := b.load(ctx, "", "", old.serial); err != nil {
			return err
		}
		return b.discard(old.path)
	})
}

// discard removes an image that is in the drive no more.
func (b *BMC) discard(file string) error {
	if b.cfg.MediaDir == "" || file == "" {
		return nil
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// change runs one insert or eject. It goes on if the client leaves: the drive must not stay half way.
func (b *BMC) change(do func(context.Context) error) (reply, error) {
	b.mu.Lock()
	if b.drive.busy {
		b.mu.Unlock()
		return reply{}, problem{http.StatusServiceUnavailable, "ResourceInUse",
			"The change to the requested resource failed because the resource is in use: the drive is being changed."}
	}
	b.drive.busy = true
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(b.ctx, fetchLimit)
	defer cancel()
	err := do(ctx)
	b.mu.Lock()
	b.drive.busy = false
	b.mu.Unlock()
	return reply{status: http.StatusNoContent}, err
}

// load puts a file into the drive, and under the eyes of the guest if there is one; an error leaves the
// drive as it was. A machine that starts meanwhile takes the file from the drive by itself; telling it
// again does no harm.
func (b *BMC) load(ctx context.Context, image, file string, serial int) error {
	b.mu.Lock()
	old := b.drive
	b.drive.image, b.drive.path, b.drive.serial, b.drive.last = image, file, serial, old.image
	b.mu.Unlock()
	if !b.cfg.Machine.Powered() {
		return nil
	}
	err := b.cfg.Machine.SetMedia(ctx, file)
	if err != nil {
		b.mu.Lock()
		b.drive.image, b.drive.path = old.image, old.path
		b.mu.Unlock()
	}
	return err
}

// download fetches an image into MediaDir and gives its path, or the URL if there is no MediaDir. The
// errors name the host only: the rest of the URL may be a secret of who made it.
func (b *BMC) download(ctx context.Context, u *url.URL, serial int) (string, error) {
	if b.cfg.MediaDir == "" {
		return u.String(), nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	resp, err := b.fetch.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL
		}
		return "", problem{http.StatusBadRequest, "CouldNotEstablishConnection",
			fmt.Sprintf("The service could not establish a connection with %s: %v", u.Host, err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", problem{http.StatusBadRequest, "ResourceMissingAtURI",
			fmt.Sprintf("The image could not be read from %s: the server answered %s.", u.Host, resp.Status)}
	}
	file := filepath.Join(b.cfg.MediaDir, fmt.Sprintf("cd%d.iso", serial))
	if err := b.keep(file, resp); err != nil {
		os.Remove(file) // part of an image is of no use; an empty MediaDir at the next start does the rest
		return "", err
	}
	return file, nil
}

// keep writes the body of an answer to a file, all of it or an error.
func (b *BMC) keep(file string, resp *http.Response) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(resp.Body, b.cfg.MediaLimit+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	switch {
	case err != nil:
		return problem{http.StatusBadRequest, "ResourceMissingAtURI", "The image could not be read to its end: " + err.Error()}
	case n > b.cfg.MediaLimit:
		return problem{http.StatusBadRequest, "PropertyValueError",
			fmt.Sprintf("The image is larger than the %d bytes this drive can hold.", b.cfg.MediaLimit)}
	case n == 0:
		return problem{http.StatusBadRequest, "PropertyValueError", "The image is empty."}
	}
	return nil
}

// emptyMediaDir removes what an earlier BMC left.
func (b *BMC) emptyMediaDir() error {
	if b.cfg.MediaDir == "" {
		return nil
	}
	if err := os.MkdirAll(b.cfg.MediaDir, 0o700); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(b.cfg.MediaDir, "cd*.iso"))
	if err != nil {
		return err
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	return nil
}
