package depot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ingot/internal/fault"
)

// reachLimit is how long a server may take to answer itself: it is its own machine or a proxy beside it.
const reachLimit = 5 * time.Second

const healthPrefix = "ingot depot "

// healthBody is what /healthz says; who is the same for every server with the same key.
func healthBody(who string) string { return healthPrefix + who + "\n" }

func (d *Depot) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, healthBody(d.signer.who)) // whoever asked is gone
}

// CheckReachable asks the boot URL for its health, from this server, and tells whether a boot listener
// answers. It is for saying so before a machine is powered on; that BMCs reach it too it cannot prove.
// Errors: fault.Invalid for what is no http or https URL, else fault.Unavailable.
func CheckReachable(ctx context.Context, bootURL string) error {
	_, err := ask(ctx, bootURL)
	return err
}

// CheckReachable is the function of that name, and also tells whether the listener is one that honours
// this depot's offers.
func (d *Depot) CheckReachable(ctx context.Context, bootURL string) error {
	body, err := ask(ctx, bootURL)
	if err != nil {
		return err
	}
	if body != healthBody(d.signer.who) {
		return fault.New(fault.Unavailable, "At the boot URL %s another server answers: check --boot-url.", shown(bootURL))
	}
	return nil
}

func ask(ctx context.Context, bootURL string) (string, error) {
	u, err := url.Parse(bootURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fault.New(fault.Invalid, "The boot URL must be an http or https URL with a host.")
	}
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("healthz").String(), nil)
	if err != nil {
		return "", unreachable(bootURL, err)
	}
	// No proxy and no redirects: a BMC follows neither.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		// The client's error begins with the URL, which may hold a password.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return "", unreachable(bootURL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 256))
	if err != nil {
		return "", unreachable(bootURL, err)
	}
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), healthPrefix) {
		return "", unreachable(bootURL, fmt.Errorf("answered %s, not as a boot listener", res.Status))
	}
	return string(body), nil
}

func unreachable(bootURL string, cause error) error {
	return fault.Wrap(fault.Unavailable, cause,
		"The boot URL %s does not lead to this server's boot listener: machines could not fetch their boot ISO. Check --boot-url and --boot-listen.", shown(bootURL))
}

// shown is the URL without a password.
func shown(bootURL string) string {
	u, err := url.Parse(bootURL)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}
