package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/identity"
)

// userFile is where the commands find the local identity file.
type userFile struct{ data, file string }

func (u *userFile) path() string { return cmp.Or(u.file, filepath.Join(u.data, "identity.yaml")) }

// user is the group that writes the local identity file. It talks to no server: a running one sees the change by itself.
func (a *app) user() *cobra.Command {
	var where userFile
	c := a.group("user", "Who may use a server with --auth local: its identity file",
		a.userAdd(&where), a.userList(&where), a.userRemove(&where), a.userPasswd(&where))
	f := c.PersistentFlags()
	f.StringVar(&where.data, "data", "./ingot-data", "data folder of the server, where the file is identity.yaml")
	f.StringVar(&where.file, "file", "", "the file, if [DEFAULT] local_auth_user_file names another")
	return c
}

func (a *app) userAdd(where *userFile) *cobra.Command {
	var (
		u                identity.User
		projects         []string
		passwordFile, id string
	)
	c := &cobra.Command{
		Use:   "add NAME (--system ROLE | --project PROJECT:ROLE)…",
		Short: "Add a user",
		Example: `  ingot user add ada --system admin
  ingot user add bob --project blue:member --project red:reader --default blue --password-file bob.pw`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			u.Name, u.ID = args[0], id
			if u.Projects, err = projectRoles(projects); err != nil {
				return err
			}
			if len(u.System)+len(u.Projects) == 0 {
				return usage(cmd, usagef("without a role %s could do nothing: give --system ROLE or --project PROJECT:ROLE", u.Name))
			}
			if err := checkRoles(u); err != nil {
				return err
			}
			if u.Password, err = newPassword(cmd, passwordFile, u.Name); err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(where.path()), 0o700); err != nil {
				return err
			}
			err = identity.Edit(where.path(), func(d *identity.Document) error {
				if slices.ContainsFunc(d.Users, func(x identity.User) bool { return x.Name == u.Name }) {
					return hint(fmt.Errorf("there is a user %q already", u.Name), "ingot user passwd %s changes the password", u.Name)
				}
				d.Users = append(d.Users, u)
				return nil
			})
			return told(cmd, err, "%s may use servers with --auth local and this file, %s.", u.Name, where.path())
		},
	}
	f := c.Flags()
	f.StringArrayVar(&u.System, "system", nil, "role on all machines: "+strings.Join(identity.Roles, ", "))
	f.StringArrayVar(&projects, "project", nil, "PROJECT:ROLE, a role on the machines of a project")
	f.StringVar(&u.Default, "default", "", `scope of a log-in that names none: a project, or "system"`)
	f.StringVar(&id, "id", "", "what events hold of the user (default NAME)")
	f.StringVar(&passwordFile, "password-file", "-", "file with the password; - for standard input, or a prompt")
	return c
}

// projectRoles reads PROJECT:ROLE, each as often as it comes.
func projectRoles(all []string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, p := range all {
		i := strings.LastIndexByte(p, ':')
		if i <= 0 || i == len(p)-1 {
			return nil, usagef("--project %s: want PROJECT:ROLE, such as blue:member", p)
		}
		out[p[:i]] = append(out[p[:i]], p[i+1:])
	}
	return out, nil
}

// checkRoles catches slips: the file may hold roles of one's own, which policy files then name.
func checkRoles(u identity.User) error {
	all := slices.Clone(u.System)
	for _, roles := range u.Projects {
		all = append(all, roles...)
	}
	for _, r := range all {
		if !slices.Contains(identity.Roles, strings.ToLower(r)) {
			return hint(usagef("%q is no role that Ironic's rules know: they are %s", r, strings.Join(identity.Roles, ", ")), "a role of your own goes into the file by hand")
		}
	}
	return nil
}

// newPassword reads a password and hashes it. At a terminal it is asked for twice.
func newPassword(cmd *cobra.Command, file, name string) (string, error) {
	first, err := readSecret(cmd, file, "New password of "+name)
	if err != nil {
		return "", err
	}
	if file == "-" && atTerminal(cmd) {
		again, err := readSecret(cmd, file, "The same again")
		if err != nil {
			return "", err
		}
		if !first.Equal(again.Expose()) {
			return "", errors.New("the two passwords are not the same")
		}
	}
	return identity.HashPassword(first.Expose())
}

func (a *app) userList(where *userFile) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List users and their roles",
		Example: `  ingot user list`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.checkFormat(); err != nil {
				return err
			}
			text, err := os.ReadFile(where.path())
			if errors.Is(err, fs.ErrNotExist) {
				return hint(fmt.Errorf("there is no identity file %s", where.path()), "ingot user add NAME --system admin makes one with its first user")
			}
			if err != nil {
				return err
			}
			d, err := identity.ParseLocal(text)
			if err != nil {
				return fmt.Errorf("%s: %w", where.path(), err)
			}
			all, rows := make([]map[string]any, len(d.Users)), make([][]string, len(d.Users))
			for i, u := range d.Users { // without the hashes: they are of use to nobody who lists
				all[i] = map[string]any{"name": u.Name, "id": cmp.Or(u.ID, u.Name), "system": u.System, "projects": u.Projects, "default": u.Default}
				var in []string
				for _, p := range sortedKeys(u.Projects) {
					in = append(in, p+":"+strings.Join(u.Projects[p], "+"))
				}
				rows[i] = []string{u.Name, listed(u.System), listed(in), u.Default}
			}
			return a.print(cmd, all, func(w io.Writer) { table(w, []string{"NAME", "SYSTEM", "PROJECTS", "DEFAULT"}, rows) })
		},
	}
}

func (a *app) userRemove(where *userFile) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Remove a user, who can do nothing from the next request on",
		Example: `  ingot user remove bob`,
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := onUser(where.path(), args[0], func(d *identity.Document, i int) error {
				d.Users = slices.Delete(d.Users, i, i+1)
				return nil
			})
			return told(cmd, err, "%s is no user any more.", args[0])
		},
	}
}

func (a *app) userPasswd(where *userFile) *cobra.Command {
	var passwordFile string
	c := &cobra.Command{
		Use:     "passwd NAME",
		Short:   "Change a user's password",
		Example: `  ingot user passwd ada`,
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := onUser(where.path(), args[0], nil); err != nil {
				return err
			}
			hash, err := newPassword(cmd, passwordFile, args[0])
			if err != nil {
				return err
			}
			err = onUser(where.path(), args[0], func(d *identity.Document, i int) error {
				d.Users[i].Password = hash
				return nil
			})
			return told(cmd, err, "%s has a new password; the old one is no good from the next request on.", args[0])
		},
	}
	c.Flags().StringVar(&passwordFile, "password-file", "-", "file with the password; - for standard input, or a prompt")
	return c
}

// onUser changes what the file says of one user; without a change it only looks whether there is one.
func onUser(path, name string, change func(d *identity.Document, i int) error) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	none := errors.New("nothing to change")
	err := identity.Edit(path, func(d *identity.Document) error {
		i := slices.IndexFunc(d.Users, func(u identity.User) bool { return u.Name == name })
		if i < 0 {
			return &failure{err: fmt.Errorf("there is no user %q in %s", name, path), hint: "ingot user list shows them", code: exitNotFound}
		}
		if change == nil {
			return none
		}
		return change(d, i)
	})
	if errors.Is(err, none) {
		return nil
	}
	return err
}

func told(cmd *cobra.Command, err error, format string, args ...any) error {
	if err == nil {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
	}
	return err
}
