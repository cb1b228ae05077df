package vendordata

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/secret"
)

// Request is what a target is told of an instance.
type Request struct {
	ProjectID  string
	InstanceID string
	ImageID    string
	// UserData are the bytes that the instance reads; empty: it has none.
	UserData secret.Secret
	// Hostname is the short one, without a domain.
	Hostname string
	Metadata map[string]string
	// BootRoles are the roles of who asked for the deploy, as they were then.
	BootRoles []string
}

// posted is the document that is sent. Its keys are Nova's, with hyphens.
type posted struct {
	ProjectID  string            `json:"project-id"`
	InstanceID string            `json:"instance-id"`
	ImageID    string            `json:"image-id"`
	UserData   *string           `json:"user-data"` // base64; null: none
	Hostname   string            `json:"hostname"`
	Metadata   map[string]string `json:"metadata"`
	BootRoles  string            `json:"boot-roles"` // divided by commas
}

// body is the document that is sent; the same Request gives the same bytes.
func (r Request) body() ([]byte, error) {
	p := posted{ProjectID: r.ProjectID, InstanceID: r.InstanceID, ImageID: r.ImageID, Hostname: r.Hostname, Metadata: r.Metadata}
	if p.Metadata == nil {
		p.Metadata = map[string]string{}
	}
	if !r.UserData.Empty() {
		text := base64.StdEncoding.EncodeToString([]byte(r.UserData.Expose()))
		p.UserData = &text
	}
	p.BootRoles = strings.Join(r.sent(), ",")
	return json.Marshal(p)
}

// digest tells requests apart whose bodies differ. It is made for every question of the metadata service, and so not of the body.
func (r Request) digest() string {
	h := sha256.New()
	add := func(s string) {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	for _, s := range []string{r.ProjectID, r.InstanceID, r.ImageID, r.UserData.Expose(), r.Hostname, strings.Join(r.sent(), ",")} {
		add(s)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Metadata)) {
		add(k)
		add(r.Metadata[k])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// sent are the roles that are sent. One with a comma in its name cannot be told apart from two, of which one may be worth more
// than the caller had: it is left out.
func (r Request) sent() []string {
	return slices.DeleteFunc(slices.Clone(r.BootRoles), func(role string) bool { return strings.Contains(role, ",") })
}

// kept is a Request as it is sealed with an instance.
type kept struct {
	ProjectID  string            `json:"project_id"`
	InstanceID string            `json:"instance_id"`
	ImageID    string            `json:"image_id"`
	UserData   []byte            `json:"user_data"`
	Hostname   string            `json:"hostname"`
	Metadata   map[string]string `json:"metadata"`
	BootRoles  []string          `json:"boot_roles"`
}

// Encode gives the whole request, user data in clear: for sealing.
func (r Request) Encode() []byte {
	b, err := json.Marshal(kept{r.ProjectID, r.InstanceID, r.ImageID, []byte(r.UserData.Expose()), r.Hostname, r.Metadata, r.BootRoles})
	if err != nil {
		panic("vendordata: " + err.Error()) // strings, maps and lists of them
	}
	return b
}

// DecodeRequest reads what Encode gave.
func DecodeRequest(b []byte) (Request, error) {
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return Request{}, fmt.Errorf("read a vendordata request: %w", scrubbed(err))
	}
	r := Request{ProjectID: k.ProjectID, InstanceID: k.InstanceID, ImageID: k.ImageID, Hostname: k.Hostname, Metadata: k.Metadata, BootRoles: k.BootRoles}
	if len(k.UserData) > 0 {
		r.UserData = secret.New(string(k.UserData))
	}
	return r, nil
}
