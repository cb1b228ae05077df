package lab

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/lab/vendordata"
)

// vendordataOptions are the flags of `ingot lab vendordata`.
type vendordataOptions struct {
	listen, token, certificate, cacheControl string
	keys, clients                            string
	hosts                                    []string
	etag                                     bool
	faults                                   []string
}

// vendordataCommand runs a vendordata target until it is interrupted. It needs no lab and no root.
func vendordataCommand() *cobra.Command {
	o := vendordataOptions{listen: "127.0.0.1:9930"}
	cmd := &cobra.Command{
		Use: "vendordata", Args: cobra.NoArgs,
		Short: "Run a vendordata target to try with, until it is interrupted (needs no root)",
		Long: "Serves a target for [api] vendordata_dynamic_targets, and tells each question. On the path /cloud-init it answers\n" +
			"a cloud-config that writes " + vendordata.File + ", for a target of the name cloud-init; on any other path an object. Who\n" +
			"reaches it sees all that it was asked at /lab/requests, and plants faults at /lab/faults:\n\n  " + strings.Join(vendordata.FaultNames(), "\n  "),
		Example: "  ingot lab vendordata\n  ingot lab vendordata --tls-certificate target.pem --fault 500:2 --cache-control max-age=60",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			var out sync.Mutex
			conf, err := o.config()
			if err != nil {
				return err
			}
			conf.Told = func(r vendordata.Request) {
				out.Lock()
				defer out.Unlock()
				fmt.Fprintln(cmd.OutOrStdout(), told(r))
			}
			s := vendordata.New(conf)
			if err := o.plant(s); err != nil {
				return err
			}
			if err := s.Start(o.listen); err != nil {
				return fault.Wrap(fault.Invalid, err, "Nothing can listen at %s: %v. Choose another with --listen.", o.listen, err)
			}
			out.Lock()
			fmt.Fprintf(cmd.OutOrStdout(), "vendordata targets are at %s/cloud-init and %s/ANY-OTHER-PATH\n", s.URL(), s.URL())
			out.Unlock()
			<-ctx.Done()
			return s.Close()
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", o.listen, "address and port")
	f.StringVar(&o.token, "token-file", "", "file with what X-Auth-Token must be; without it everybody is answered")
	f.StringVar(&o.keys, "signing-keys", "", "file of keys, as vendordata_dynamic_signing_keyfile: answer only what is signed with one of them")
	f.StringArrayVar(&o.hosts, "host", nil, "what this target is called in URLs, as HOST:PORT, for --signing-keys; may be given again (default the address it listens at)")
	f.StringVar(&o.clients, "client-ca", "", "file of certificates: answer only clients that show one of them, or one signed by them; needs --tls-certificate")
	f.StringVar(&o.certificate, "tls-certificate", "", "serve with TLS, and write the certificate to this file, for vendordata_dynamic_ssl_certfile")
	f.StringVar(&o.cacheControl, "cache-control", "", "the header Cache-Control of answers")
	f.BoolVar(&o.etag, "etag", false, "answers have an ETag")
	f.StringArrayVar(&o.faults, "fault", nil, "plant FAULT or FAULT:TIMES; may be given again")
	return cmd
}

// config is the target that the flags describe. The private key of its certificate is in memory only.
func (o vendordataOptions) config() (vendordata.Config, error) {
	c := vendordata.Config{Caching: vendordata.Caching{CacheControl: o.cacheControl, ETag: o.etag}}
	if o.token != "" {
		text, err := os.ReadFile(o.token)
		if c.Token = strings.TrimSpace(string(text)); err == nil && c.Token == "" {
			err = errors.New("it is empty")
		}
		if err != nil {
			return c, fault.Wrap(fault.Invalid, err, "The token cannot be read: %v.", err)
		}
	}
	if o.keys != "" {
		v, err := vendordata.NewVerifier(o.keys, append(o.hosts, o.listen)...)
		if err != nil {
			return c, fault.Wrap(fault.Invalid, err, "The keys of --signing-keys cannot be used: %v.", err)
		}
		c.Accept = v.Check
	}
	if o.clients != "" {
		if o.certificate == "" {
			return c, fault.New(fault.Invalid, "--client-ca needs --tls-certificate: clients show certificates with TLS only.")
		}
		text, err := os.ReadFile(o.clients)
		if c.ClientCAs = x509.NewCertPool(); err == nil && !c.ClientCAs.AppendCertsFromPEM(text) {
			err = errors.New("there is no certificate in it")
		}
		if err != nil {
			return c, fault.Wrap(fault.Invalid, err, "The certificates of --client-ca cannot be read from %s.", o.clients)
		}
	}
	if o.certificate == "" {
		return c, nil
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return c, fault.Wrap(fault.Invalid, err, "%q is no address and port.", o.listen)
	}
	cert, err := vendordata.NewCertificate(host, "localhost", "127.0.0.1", "::1")
	if err != nil {
		return c, err
	}
	c.Certificate = &cert
	if err := os.WriteFile(o.certificate, vendordata.PEM(cert), 0o644); err != nil { // #nosec G306 -- everybody may see a certificate
		return c, fault.Wrap(fault.Invalid, err, "The certificate cannot be written: %v.", err)
	}
	return c, nil
}

func (o vendordataOptions) plant(s *vendordata.Server) error {
	var list []vendordata.Fault
	for _, text := range o.faults {
		f, err := vendordata.ParseFault(text)
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "%s.", err)
		}
		list = append(list, f)
	}
	return s.SetFaults(list...)
}

// told is a line about a question. What strangers named is quoted.
func told(r vendordata.Request) string {
	line := fmt.Sprintf("%s %q for %q (instance %q of project %q, roles %q): ", r.Method, r.Path, r.Question.Hostname, r.Question.InstanceID, r.Question.ProjectID, r.Question.BootRoles)
	if r.Status == 0 {
		line += "no answer"
	} else {
		line += fmt.Sprint(r.Status)
	}
	if r.Fault != "" {
		line += ", by the fault " + r.Fault
	}
	return line
}
