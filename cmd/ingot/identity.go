package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"

	"ingot/internal/api"
	"ingot/internal/cli"
	"ingot/internal/config"
	"ingot/internal/identity"
)

// localFile is where the local identity file lies.
func localFile(data string, c config.Config) string {
	return cmp.Or(c.Access.LocalAuthUserFile, filepath.Join(data, "identity.yaml"))
}

// listensLocally tells whether only this host reaches an address.
func listensLocally(listen string) (bool, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false, fmt.Errorf("--listen %q: want ADDRESS:PORT: %w", listen, err)
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback(), nil
}

// mayListen refuses an API that strangers reach and that asks nobody who they are, unless that was said twice.
func mayListen(listen string, c config.Access) error {
	local, err := listensLocally(listen)
	if err != nil || local {
		return err
	}
	switch {
	case c.AuthStrategy == "":
		return cli.Hint(fmt.Errorf("--listen %s: whoever reaches this address would be its operator, as nothing says how callers log in", listen),
			"create a user with \"ingot user add NAME --system admin\" and start with --auth local, or see docs/guides/authentication.md; or listen on 127.0.0.1 and reach it from elsewhere through ssh -L 6385:127.0.0.1:6385")
	case c.AuthStrategy == identity.ByNobody && !c.NoAuthAnywhere:
		return cli.Hint(fmt.Errorf("--listen %s: auth_strategy is noauth, so whoever reaches this address would be its operator", listen),
			"if that is really what you want, say it a second time: [api] noauth_anywhere = true")
	}
	return nil
}

// openIdentity finds out how the server is told who asks.
func (s *server) openIdentity() (err error) {
	if s.local, err = listensLocally(s.f.listen); err != nil {
		return err
	}
	if s.callers, err = openCallers(s.f.data, s.c, s.log); err != nil {
		return err
	}
	switch strategy := s.c.Access.AuthStrategy; {
	case !s.local && s.callers == nil:
		s.log.Warn("whoever reaches the API may do everything: nobody is asked to log in", "api", s.f.listen)
	case !s.local && !s.c.Access.EnableSSLAPI:
		s.log.Warn("log-ins cross the network unencrypted, unless a proxy in front of the API speaks TLS; see [api] enable_ssl_api", "auth_strategy", strategy)
	}
	return nil
}

// openCallers makes the door that tells who asks; nil for noauth.
func openCallers(data string, c config.Config, log *slog.Logger) (identity.Door, error) {
	switch c.Access.AuthStrategy {
	case identity.ByHtpasswd:
		d, err := identity.NewHtpasswd(c.Access.HTTPBasicAuthUserFile, log)
		if err != nil {
			return nil, cli.Hint(fmt.Errorf("[DEFAULT] http_basic_auth_user_file: %w", err), "htpasswd -B -c FILE NAME makes one (Debian's package apache2-utils)")
		}
		return d, nil
	case identity.ByLocal:
		d, err := identity.NewLocal(localFile(data, c), log)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, cli.Hint(fmt.Errorf("auth_strategy is local, and there is no user yet: %w", err), "ingot user add NAME --system admin --data %s creates the first", data)
		}
		if err != nil {
			return nil, err
		}
		return d, nil
	case identity.ByKeystone:
		d, err := identity.NewKeystone(c.Keystone, log)
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	return nil, nil
}

// public is the options of the API's own door.
func (s *server) public(o api.Options) api.Options {
	o.Identity, o.LocalOnly = s.callers, s.callers == nil && s.local
	o.Rate, o.Burst = s.c.Access.RateLimit, s.c.Access.RateLimitBurst
	return o
}

// bodyLimits are what requests may carry.
func bodyLimits(c config.Access) api.BodyLimits {
	return api.BodyLimits{Depth: c.MaxJSONBodyDepth, Size: int64(c.MaxJSONBodySize) << 10, Provision: int64(c.MaxJSONBodySizeProvision) << 10,
		Inspection: int64(c.MaxJSONBodySizeInspection) << 10}
}
