package identity

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/policy"
)

const example = `# our people
domain: rack
projects:
  blue: {id: 11111111}
users:
  # the boss
  - name: root
    password: HASH
    system: [admin]
  - name: ada@example.org
    id: ada
    password: HASH
    projects:
      blue: [member]
      red: [Manager, special]
  - name: bob
    password: HASH
    projects:
      red: [reader]
  - name: eve
    password: HASH
    system: [reader]
    projects:
      red: [admin]
    default: red
`

func local(t *testing.T) (*Local, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "identity.yaml")
	write(t, name, strings.ReplaceAll(example, "HASH", hash(t, "pw")))
	l, err := NewLocal(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l, name
}

func TestLocalScopes(t *testing.T) {
	l, _ := local(t)
	base := policy.Caller{UserDomainID: "rack"}
	in := func(user, name, project, projectName string, roles ...string) policy.Caller {
		c := base
		c.UserID, c.UserName, c.ProjectID, c.ProjectName, c.Roles = user, name, project, projectName, roles
		if project == "" {
			c.SystemScope = "all"
		} else {
			c.ProjectDomainID = "rack"
		}
		return c
	}
	manager := []string{"manager", "member", "reader", "special"}
	for _, x := range []struct {
		login, header string
		want          policy.Caller
	}{
		{"root", "", in("root", "root", "", "", "admin", "manager", "member", "reader")},
		{"root@system", "", in("root", "root", "", "", "admin", "manager", "member", "reader")},
		{"ada@example.org@red", "", in("ada", "ada@example.org", "red", "red", manager...)},
		{"ada@example.org@blue", "", in("ada", "ada@example.org", "11111111", "blue", "member", "reader")},
		{"ada@example.org", "red", in("ada", "ada@example.org", "red", "red", manager...)},
		{"ada@example.org@blue", "red", in("ada", "ada@example.org", "red", "red", manager...)},
		{"bob", "", in("bob", "bob", "red", "red", "reader")},
		{"eve", "", in("eve", "eve", "red", "red", "admin", "manager", "member", "reader")},
		{"eve@system", "", in("eve", "eve", "", "", "reader")},
	} {
		r := from(x.login, "pw")
		if x.header != "" {
			r.Header.Set(ScopeHeader, x.header)
		}
		if got, err := l.Identify(t.Context(), r); err != nil || !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s %s:\ngot  %+v, %v\nwant %+v", x.login, x.header, got, err, x.want)
		}
	}
	for _, x := range []struct {
		login, password string
		want            fault.Kind
		text            string
	}{
		{"ada@example.org", "pw", fault.Invalid, "choose one"},
		{"bob@blue", "pw", fault.Unauthenticated, "no role"},
		{"bob@system", "pw", fault.Unauthenticated, "no role"},
		{"bob@blue", "px", fault.Unauthenticated, "not right"},
		{"ada@example.org", "px", fault.Unauthenticated, "not right"},
		{"nobody@red", "pw", fault.Unauthenticated, "not right"},
	} {
		_, err := l.Identify(t.Context(), from(x.login, x.password))
		is(t, err, x.want)
		if err != nil && !strings.Contains(err.Error(), x.text) {
			t.Errorf("%s: %v", x.login, err)
		}
	}
}

func TestLocalRefusals(t *testing.T) {
	h := hash(t, "pw")
	for _, x := range []struct{ text, want string }{
		{"users:\n- {name: a, password: " + h + "}", "there is no role"},
		{"users:\n- {name: a, password: plain, system: [admin]}", "not a bcrypt hash"},
		{"users:\n- {name: a, password: " + h + ", system: [admin]}\n- {name: a, password: " + h + ", system: [admin]}", "there already"},
		{"users:\n- {name: a, password: " + h + ", system: [admin]}\n- {name: b, id: a, password: " + h + ", system: [admin]}", "there already"},
		{"users:\n- {name: 'a:b', password: " + h + ", system: [admin]}", "has a colon"},
		{"users:\n- {name: a, password: " + h + ", projects: {system: [admin]}}", "no project may be called"},
		{"users:\n- {name: a, password: " + h + ", projects: {p: []}}", "from 1 to"},
		{"users:\n- {name: a, password: " + h + ", system: [admin], default: p}", "no role in"},
		{"users:\n- {name: a, passwort: " + h + "}", "passwort"},
		{"projects: {p: {}}", "id is empty"},
		{"users: []\n---\nusers: []", "more than one document"},
	} {
		_, err := parseLocal([]byte(x.text))
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%q: got %v, want %s", x.text, err, x.want)
		}
	}
}

func TestEdit(t *testing.T) {
	l, name := local(t)
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Identify(t.Context(), from("bob", "pw")); err != nil {
		t.Fatal(err)
	}
	err := Edit(name, func(d *Document) error {
		i := slices.IndexFunc(d.Users, func(u User) bool { return u.Name == "bob" })
		d.Users[i].Password = hash(t, "new")
		d.Users = append(d.Users, User{Name: "joe", Password: hash(t, "pw"), System: []string{"member"}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{"# our people", "# the boss", "domain: rack", "system: [admin]"} {
		if !strings.Contains(string(text), kept) {
			t.Errorf("%s is lost:\n%s", kept, text)
		}
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	_, err = l.Identify(t.Context(), from("bob", "pw"))
	is(t, err, fault.Unauthenticated)
	for _, u := range []string{"bob new", "joe pw", "root pw"} {
		user, password, _ := strings.Cut(u, " ")
		if _, err := l.Identify(t.Context(), from(user, password)); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	// What would break the file is not written; nor is a change that failed.
	for _, change := range []func(*Document) error{
		func(d *Document) error { d.Users = append(d.Users, User{Name: "bad"}); return nil },
		func(d *Document) error { d.Users = nil; return errors.New("no") },
	} {
		if Edit(name, change) == nil {
			t.Error("a wrong change was made")
		}
	}
	if after, _ := os.ReadFile(name); string(after) != string(text) {
		t.Error("the file changed all the same")
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(name), ".*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Edits at the same time all count.
func TestEditsWait(t *testing.T) {
	name := filepath.Join(t.TempDir(), "identity.yaml")
	h := hash(t, "pw")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			err := Edit(name, func(d *Document) error {
				d.Users = append(d.Users, User{Name: "u" + string(rune('a'+i)), Password: h, System: []string{"reader"}})
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(name)
	if err != nil || !strings.HasPrefix(string(text), heading) {
		t.Errorf("%v\n%s", err, text)
	}
	if d, err := ParseLocal(text); err != nil || len(d.Users) != 20 {
		t.Errorf("%d users, %v", len(d.Users), err)
	}
}

func FuzzLocal(f *testing.F) {
	f.Add(example)
	f.Add("users: [{name: a, password: $2y$04$abcdefghijklmnopqrstuuZJNFZ5cJPSeJ6iJkYsDXh.ozoWcaGzO, system: [admin]}]")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		in, err := parseLocal([]byte(text))
		if err != nil {
			return
		}
		for name, u := range in.users {
			if u.name != name || len(u.callers) == 0 {
				t.Errorf("%q: %+v", name, u)
			}
		}
	})
}
