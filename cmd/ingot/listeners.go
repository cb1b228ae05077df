package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"ingot/internal/api"
	"ingot/internal/config"
)

// secure wraps the listeners that the configuration gives a certificate, and bounds the connections of all but the peers',
// which has its own rules.
func (d *doors) secure(c config.Config, log *slog.Logger) error {
	a := c.Access
	for i := range d.metadata { // without TLS: instances speak none there
		d.metadata[i] = api.Crowd(d.metadata[i], a.MaxConnections)
	}
	for _, one := range []struct {
		l         *net.Listener
		section   string
		on        bool
		cert, key string
	}{
		{&d.api, "[api]", a.EnableSSLAPI, a.CertFile, a.KeyFile},
		{&d.metrics, "[metrics]", c.MetricsTLS.CertFile+c.MetricsTLS.KeyFile != "", c.MetricsTLS.CertFile, c.MetricsTLS.KeyFile},
		{&d.boot, "[deploy] http_", bootTLS(c), c.BootTLS.HTTPCertFile, c.BootTLS.HTTPKeyFile},
	} {
		if *one.l == nil {
			continue
		}
		*one.l = api.Crowd(*one.l, a.MaxConnections)
		if !one.on {
			continue
		}
		t, err := api.ListenTLS(api.TLSOptions{CertFile: one.cert, KeyFile: one.key, MinVersion: a.TLSMinimumVersion, Ciphers: a.TLSCiphers, Log: log})
		if err != nil {
			return fmt.Errorf("%s: %w", one.section, err)
		}
		*one.l = tls.NewListener(*one.l, t)
	}
	return nil
}

// agentsTLS is how the agents' door speaks TLS, with its own certificate.
func agentsTLS(c config.AgentTLS, own tls.Certificate) (*tls.Config, error) {
	t, err := api.TLSLimits(c.TLSMinimumVersion, c.TLSCiphers)
	if err != nil {
		return nil, fmt.Errorf("[agent] %w", err)
	}
	t.Certificates = []tls.Certificate{own}
	return t, nil
}

// bootTLS tells whether boot media are served with TLS.
func bootTLS(c config.Config) bool { return c.BootTLS.HTTPCertFile+c.BootTLS.HTTPKeyFile != "" }

// scheme is how the URL of a listener begins.
func scheme(tls bool) string {
	if tls {
		return "https://"
	}
	return "http://"
}
