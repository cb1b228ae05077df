package pgtest

import (
	"errors"
	"os"
)

// Begin makes and starts a cluster for a program that is no test, such as a bench. done ends it and removes it; it is gone, too, when
// the program ends.
func Begin(settings ...string) (c *Cluster, done func(), err error) {
	if bin, _ := binaries(); bin == "" {
		return nil, nil, errors.New("there is no PostgreSQL in /usr/lib/postgresql (Debian's package postgresql)")
	}
	if c, err = newCluster(settings...); err != nil {
		return nil, nil, err
	}
	return c, func() {
		c.Stop()
		_ = os.RemoveAll(c.dir)
	}, nil
}
