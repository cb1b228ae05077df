package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"ingot/internal/config"
	"ingot/internal/identity"
	"ingot/internal/metal"
)

// examineUsers looks at the file of users, if there is one: a server goes on with what it said before when it became
// wrong, and does not start with it.
func examineUsers(data string, c config.Config) []metal.Finding {
	path := localFile(data, c)
	info, err := os.Stat(path)
	switch {
	case err == nil:
		_, err = identity.NewLocal(path, slog.New(slog.DiscardHandler))
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	if err != nil {
		return []metal.Finding{wrong(metal.Fail, "users", strings.ReplaceAll(err.Error(), "\n", "; "),
			"Mend the file: a server that runs goes on with what it said before, and none starts with it.")}
	}
	return []metal.Finding{mode("users", path, info, 0o077)}
}
