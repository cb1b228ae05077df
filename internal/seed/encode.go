package seed

import (
	"encoding/json"
	"fmt"
)

// encoded is a seed in a sealed row or on its way to another host. Form tells a reader of another release to give up.
type encoded struct {
	Form    int               `json:"form"`
	Files   map[string][]byte `json:"files,omitempty"`
	Content map[string][]byte `json:"content,omitempty"`
	EC2     []byte            `json:"ec2,omitempty"`
}

const form = 1

// Encode gives the seed as bytes for Decode, without a password that WithPassword added. They are as secret as the seed.
func (s *Seed) Encode() []byte {
	t := s.tree()
	b, err := json.Marshal(encoded{form, t.files, t.content, t.ec2})
	if err != nil {
		panic("seed: maps of bytes cannot be written: " + err.Error())
	}
	return b
}

// Decode reads what Encode gave. An error says that the bytes are not of this form; they are never in its text.
func Decode(b []byte) (*Seed, error) {
	var e encoded
	if err := json.Unmarshal(b, &e); err != nil || e.Form != form {
		return nil, fmt.Errorf("a seed of %d bytes is not of form %d", len(b), form)
	}
	for _, files := range []map[string][]byte{e.Files, e.Content} {
		for name, content := range files {
			if !fits(name) {
				return nil, fmt.Errorf("a seed of %d bytes has a file whose name cannot be one", len(b))
			}
			if content == nil {
				files[name] = []byte{}
			}
		}
	}
	return newSeed(tree{files: e.Files, content: e.Content, ec2: e.EC2}), nil
}
