package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"gopkg.in/yaml.v3"
)

// Edit changes the local identity file: change gets what it says, and what it leaves is checked and written in one step, for
// nobody else to read. A file that is not there begins empty. Comments of users that stay as they are stay too. Two edits at a
// time wait for each other.
func Edit(path string, change func(*Document) error) error {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // which gives the lock back
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	doc, err := ParseLocal(old)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	was := map[string]User{}
	for _, u := range doc.Users {
		was[u.Name] = u
	}
	if err := change(&doc); err != nil {
		return err
	}
	if _, err := check(doc); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	text, err := render(old, doc, was)
	if err != nil {
		return err
	}
	return replace(path, text)
}

// heading is what a new file begins with.
const heading = `# Who may use this server, for auth_strategy = local. "ingot user" writes it; a person may, too.
# It is read again when it changes.
`

// render writes doc, with the lines of old for the users that did not change.
func render(old []byte, doc Document, was map[string]User) ([]byte, error) {
	var before, after yaml.Node
	if err := yaml.Unmarshal(old, &before); err != nil {
		return nil, err
	}
	if err := after.Encode(doc); err != nil {
		return nil, err
	}
	lines := map[string]*yaml.Node{}
	if users := field(&before, "users"); users != nil {
		for _, n := range users.Content {
			if name := field(n, "name"); name != nil {
				lines[name.Value] = n
			}
		}
	}
	for i, n := range field(&after, "users").Content {
		u := doc.Users[i]
		if kept := lines[u.Name]; kept != nil && same(u, was[u.Name]) {
			*n = *kept
		} else if kept != nil {
			n.HeadComment, n.LineComment, n.FootComment = kept.HeadComment, kept.LineComment, kept.FootComment
		}
	}
	var b bytes.Buffer
	if len(before.Content) == 0 {
		b.WriteString(heading)
	} else {
		top := before.Content[0]
		after.HeadComment, after.FootComment = join(before.HeadComment, top.HeadComment), join(top.FootComment, before.FootComment)
		for i := 0; i+1 < len(after.Content); i += 2 {
			if k, _ := pair(top, after.Content[i].Value); k != nil {
				after.Content[i].HeadComment, after.Content[i].LineComment = k.HeadComment, k.LineComment
			}
		}
	}
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&after); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n\n" + b
}

// same compares by what would be written.
func same(a, b User) bool {
	x, err1 := yaml.Marshal(a) //nolint:gosec // G117: hashes of passwords, compared and dropped
	y, err2 := yaml.Marshal(b) //nolint:gosec // G117
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

func field(n *yaml.Node, key string) *yaml.Node {
	_, v := pair(n, key)
	return v
}

// pair finds a key of a mapping, or of the mapping that is a document.
func pair(n *yaml.Node, key string) (k, v *yaml.Node) {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	if n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// replace puts a file in the place of another in one step, readable by its owner only. The owner of the old file keeps it.
func replace(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	var st unix.Stat_t
	if unix.Stat(path, &st) == nil {
		if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil && os.Geteuid() == 0 {
			return err
		}
	}
	if _, err = f.Write(text); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync() // the name is there already; this is for a power cut
		_ = d.Close()
	}
	return nil
}
