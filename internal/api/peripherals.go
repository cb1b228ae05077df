package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/wire"
)

// shares are schemes of images that upstream hands to a BMC, too. Source: rest-api reference §3.7.
var shares = []string{"nfs", "cifs", "smb"}

func (c *call) attachMedia() (answer, error) {
	args, err := c.object()
	if err != nil {
		return answer{}, err
	}
	if err := unexpected(args, "device_type image_url image_download_source"); err != nil {
		return answer{}, err
	}
	kind, err := textArg(args, "device_type", true)
	if err != nil {
		return answer{}, err
	}
	if !slices.Contains(metal.MediaKinds, kind) {
		return answer{}, badKind(kind)
	}
	image, err := textArg(args, "image_url", true)
	if err != nil {
		return answer{}, err
	}
	if err := checkMediaURL(image); err != nil {
		return answer{}, err
	}
	source, err := textArg(args, "image_download_source", false)
	if err != nil {
		return answer{}, err
	}
	switch source {
	case "http", "", "local": // the BMC fetches the image in each case
	case "swift":
		return answer{}, invalid("Invalid input for image_download_source: this server has no Swift; use http or local.")
	default:
		return answer{}, invalid("Invalid input for image_download_source: it must be one of http, local, swift.")
	}
	if err := c.s.AttachMedia(c.r.Context(), c.caller(), c.node(), metal.Medium{Kind: kind, URL: image}); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

func checkMediaURL(image string) error {
	u, err := url.Parse(image)
	switch {
	case err != nil || u.Host == "":
	case strings.EqualFold(u.Scheme, "http"), strings.EqualFold(u.Scheme, "https"):
		return nil
	case slices.Contains(shares, strings.ToLower(u.Scheme)):
		return fault.New(fault.NotSupported, "This server does not attach images from %s shares: put the image on a web server and give its http or https URL.",
			strings.ToLower(u.Scheme))
	}
	return invalid("Invalid input for image_url: it must be an http or https URL that the machine's BMC can fetch.")
}

func badKind(kind string) error {
	return invalid("Invalid device type %s: it must be one of %s.", clip(kind), strings.Join(metal.MediaKinds, ", "))
}

func (c *call) detachMedia() (answer, error) {
	var kinds []string
	if c.has("device_types") {
		for kind := range strings.SplitSeq(c.param("device_types"), ",") {
			if kind = strings.TrimSpace(kind); !slices.Contains(metal.MediaKinds, kind) {
				return answer{}, badKind(kind)
			}
			kinds = append(kinds, kind)
		}
	}
	if err := c.s.DetachMedia(c.r.Context(), c.caller(), c.node(), kinds); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

func (c *call) listMedia() (answer, error) {
	found, err := c.s.Media(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	type drive struct {
		Types    []string `json:"media_types"`
		Inserted bool     `json:"inserted"`
		Image    *string  `json:"image"`
	}
	out := make([]drive, len(found))
	for i, d := range found {
		out[i] = drive{Types: d.Types, Inserted: d.Inserted}
		if d.Types == nil {
			out[i].Types = []string{}
		}
		if d.Image != "" {
			image := maskValue(d.Image).(string)
			out[i].Image = &image
		}
	}
	return answer{status: http.StatusOK, json: out}, nil
}

func (c *call) console() (answer, error) {
	info, err := c.s.Console(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: map[string]any{"console_enabled": info != nil, "console_info": info}}, nil
}

func (c *call) setConsole() (answer, error) {
	args, err := c.args("enabled")
	if err != nil {
		return answer{}, err
	}
	if args["enabled"] == nil {
		return answer{}, invalid("Missing mandatory parameter: enabled")
	}
	on, ok := wire.ParseBool(args["enabled"])
	if !ok {
		return answer{}, invalid("Invalid input for enabled: it must be true or false.")
	}
	if err := c.s.SetConsole(c.r.Context(), c.caller(), c.node(), on); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusAccepted, location: "/v1/nodes/" + c.node() + "/states/console"}, nil
}

func (c *call) injectNMI() (answer, error) {
	if _, err := c.args(""); err != nil {
		return answer{}, err
	}
	if err := c.s.InjectNMI(c.r.Context(), c.caller(), c.node()); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

func (c *call) listIndicators() (answer, error) {
	found, err := c.s.Indicators(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	type light struct {
		Name      string      `json:"name"`
		Component string      `json:"component"`
		ReadOnly  bool        `json:"readonly"`
		States    []string    `json:"states"`
		Links     []wire.Link `json:"links"`
	}
	out := make([]light, len(found))
	for i, f := range found {
		out[i] = light{f.ID(), f.Component, f.ReadOnly, f.States, wire.Links(c.base(), "nodes/"+c.node()+"/management/indicators/"+f.ID())}
	}
	return answer{status: http.StatusOK, json: map[string]any{"indicators": out}}, nil
}

// indicator is the light that the path names: NAME@COMPONENT.
func (c *call) indicator() (string, error) {
	id := c.r.PathValue("indicator")
	if name, component, ok := strings.Cut(id, "@"); !ok || name == "" || component == "" || len(id) > 255 {
		return "", invalid("Expected an indicator as NAME@COMPONENT, and got %q.", clip(id))
	}
	return id, nil
}

func (c *call) showIndicator() (answer, error) {
	id, err := c.indicator()
	if err != nil {
		return answer{}, err
	}
	state, err := c.s.Indicator(c.r.Context(), c.caller(), c.node(), id)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: map[string]any{"state": state}}, nil
}

func (c *call) setIndicator() (answer, error) {
	id, err := c.indicator()
	if err != nil {
		return answer{}, err
	}
	args, err := c.args("state")
	if err != nil {
		return answer{}, err
	}
	state, err := textArg(args, "state", true)
	if err != nil {
		return answer{}, err
	}
	if err := c.s.SetIndicator(c.r.Context(), c.caller(), c.node(), id, strings.ToLower(state)); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
