package overlay

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/source"
)

// tellEvery is after how many bytes progress is told.
const tellEvery = 8 << 20

// fetch brings the package into memory. The file has no name: nothing is left of it once it is closed, or this program ends.
func (o *Overlay) fetch(ctx context.Context, pkg agentapi.OSPackage, progress func(agentapi.Progress)) (*os.File, string, error) {
	if err := osdef.CheckPackage(pkg.URL); err != nil {
		return nil, "", err
	}
	refused, err := source.ParseNetworks(pkg.Refused)
	if err != nil {
		return nil, "", err
	}
	options := o.options
	options.MoreCA, options.Refused, options.User, options.Password = pkg.CA, refused, pkg.User, secret.New(pkg.Password)
	body, err := source.Open(ctx, []string{pkg.URL}, options)
	if errors.Is(err, source.ErrUnauthorized) {
		return nil, "", credentials(pkg, err)
	}
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	limit := min(o.limits().Packed, memory()/2)
	if body.Size() > limit {
		return nil, "", tooLarge(limit)
	}
	fd, err := unix.MemfdCreate("personalization", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, "", fmt.Errorf("memory for the package: %w", err)
	}
	local := os.NewFile(uintptr(fd), "personalization")
	digest := sha256.New()
	told := teller{tell: progress, what: "fetching the personalization package", total: max(body.Size(), 0)}
	n, err := io.Copy(io.MultiWriter(local, digest, &told), io.LimitReader(body, limit+1))
	if err == nil && n > limit {
		err = tooLarge(limit)
	}
	if err != nil {
		return nil, "", errors.Join(err, local.Close())
	}
	return local, hex.EncodeToString(digest.Sum(nil)), nil
}

func tooLarge(limit int64) error {
	return fault.New(fault.TooLarge, "It has more than %d bytes: no larger one is taken on this machine.", limit)
}

// credentials says what is wanted of whoever deploys again: credentials are stored nowhere.
func credentials(pkg agentapi.OSPackage, err error) error {
	said, _ := fault.PublicOf(err)
	if pkg.User == "" {
		return fault.Wrap(fault.Invalid, err, "%s Credentials of packages are kept nowhere: give personalization_user and personalization_password again.", said)
	}
	return fault.Wrap(fault.Invalid, err, "%s Give the right personalization_user and personalization_password.", said)
}

// memory is how much of the machine's is free, in bytes. Source: proc_meminfo(5).
func memory() int64 {
	const unknown = 1 << 40
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return unknown
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			if kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return unknown
}

// teller tells how many bytes went through it.
type teller struct {
	tell              func(agentapi.Progress)
	what              string
	done, next, total int64
}

// Write counts.
func (t *teller) Write(p []byte) (int, error) {
	t.done += int64(len(p))
	if t.done >= t.next {
		t.next = t.done + tellEvery
		t.tell(agentapi.Progress{What: t.what, Done: t.done, Total: t.total, Unit: "bytes"})
	}
	return len(p), nil
}
