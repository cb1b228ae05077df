package neutron

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"ingot/internal/fault"
	"ingot/internal/keystone"
)

const (
	// answerSize is bytes of one answer: a page of ports is far smaller.
	answerSize = 8 << 20
	// saidSize is bytes of Neutron's own message in a fault.
	saidSize = 500
	// atOnce is requests of this server to Neutron at the same time.
	atOnce = 16
)

// client is this server as a user of Neutron's.
type client struct {
	config Config
	at     *keystone.Client
}

func newClient(c Config) (*client, error) {
	at, err := keystone.New(c.Login, keystone.Options{Section: "neutron", Timeout: c.RequestTimeout, Answer: answerSize, AtOnce: atOnce, Retries: c.Retries})
	if err != nil {
		return nil, err
	}
	return &client{config: c, at: at}, nil
}

func (c *client) close() { c.at.Close() }

// service is Neutron, logged in to.
func (c *client) service(ctx context.Context) (*gophercloud.ServiceClient, error) {
	return c.at.Find(ctx, c.config.Endpoint, "network", "v2.0", openstack.NewNetworkV2)
}

// refused makes a fault of what a call ended with; doing is what it was for: "delete port …".
func refused(ctx context.Context, err error, doing string, args ...any) error {
	what := fmt.Sprintf(doing, args...)
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	if own := (*fault.Error)(nil); errors.As(err, &own) {
		return err
	}
	if again := (*gophercloud.ErrUnableToReauthenticate)(nil); errors.As(err, &again) {
		return fault.Wrap(fault.Unavailable, err, "Keystone does not take the user and password of [neutron] any more.")
	}
	var code gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &code) {
		return fault.Wrap(fault.Unavailable, err, "Neutron gave no answer when asked to %s.", what)
	}
	kind := fault.Internal
	switch {
	case code.Actual == http.StatusBadRequest:
		kind = fault.Invalid
	case code.Actual == http.StatusNotFound:
		kind = fault.NotFound
	case code.Actual == http.StatusConflict:
		kind = fault.Conflict
	case code.Actual >= 500:
		kind = fault.Unavailable
	}
	return fault.Wrap(kind, err, "Neutron did not %s: %s (status %d).", what, said(code.Body), code.Actual)
}

// said is Neutron's own message in an answer, without what does not belong into a line.
func said(body []byte) string {
	var answer struct{ NeutronError json.RawMessage }
	var text string
	if json.Unmarshal(body, &answer) == nil && len(answer.NeutronError) > 0 {
		var told struct{ Message string }
		if json.Unmarshal(answer.NeutronError, &text) != nil && json.Unmarshal(answer.NeutronError, &told) == nil {
			text = told.Message
		}
	}
	if text == "" {
		return "no reason is given"
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if len(text) > saidSize {
		text = strings.ToValidUTF8(text[:saidSize], "") + "…"
	}
	return strings.TrimRight(text, ". ")
}

// is tells whether an error is an answer with a status.
func is(err error, status int) bool { return gophercloud.ResponseCodeIs(err, status) }
