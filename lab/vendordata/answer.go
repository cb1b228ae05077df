package vendordata

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Question is what is asked: one instance. Source: Nova's vendordata, keys with hyphens.
type Question struct {
	ProjectID  string            `json:"project-id"`
	InstanceID string            `json:"instance-id"`
	ImageID    string            `json:"image-id"`
	UserData   *string           `json:"user-data"` // base64
	Hostname   string            `json:"hostname"`
	Metadata   map[string]string `json:"metadata"`
	BootRoles  string            `json:"boot-roles"` // divided by commas
}

func (q Question) roles() []string {
	if q.BootRoles == "" {
		return []string{}
	}
	return strings.Split(q.BootRoles, ",")
}

// MailRole is the role whose holders' machines become mail servers: an example of what a site may decide by roles.
const MailRole = "mail-operator"

// facts is the answer as an object.
type facts struct {
	Number   int      `json:"number"`   // no other answer has it
	Revision int      `json:"revision"` // of the server
	Hostname string   `json:"hostname"`
	Project  string   `json:"project"`
	Instance string   `json:"instance"`
	Roles    []string `json:"roles"`
	Purpose  string   `json:"purpose"` // "mail" or "general"
}

// answer makes the answer to a question: a string for cloud-init, an object for all others.
func answer(path string, q Question, number, revision int) ([]byte, error) {
	f := facts{number, revision, q.Hostname, q.ProjectID, q.InstanceID, q.roles(), "general"}
	if slices.Contains(f.Roles, MailRole) {
		f.Purpose = "mail"
	}
	document, err := json.Marshal(f)
	if err != nil || path != "/cloud-init" {
		return document, err
	}
	return json.Marshal(cloudConfig(document))
}

// File is what an instance has whose cloud-init took the answer.
const File = "/etc/ingot-vendordata.json"

// cloudConfig writes the facts to File. What strangers named is base64 there: YAML cannot be broken by it.
func cloudConfig(document []byte) string {
	return fmt.Sprintf("#cloud-config\nwrite_files:\n- path: %s\n  permissions: '0644'\n  encoding: b64\n  content: %s\n", File, base64.StdEncoding.EncodeToString(document))
}
