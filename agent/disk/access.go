package disk

import (
	"encoding/base64"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/secret"
	"ingot/internal/source"
)

// access reads how the image is fetched: whom to trust, with which credentials, and from where not.
func (r *Request) access() error {
	i := r.Image
	refused, err := source.ParseNetworks(i.Refused)
	if err != nil {
		return fail(paramsError, "image_info ingot_refused_networks: %s", err)
	}
	r.fetch.CA, r.fetch.Proxies, r.fetch.Refused, r.fetch.Size, r.fetch.MD5 = i.CA, i.Proxies, refused, i.Size, i.AllowMD5
	a := i.ImageAccess
	if a == nil {
		return nil
	}
	switch a.AuthStrategy {
	case agentapi.HTTPBasic:
		r.fetch.User, r.fetch.Password = a.User, secret.New(a.Password)
	case "", "noauth":
	default:
		return fail(paramsError, "image_server_auth_strategy %.20q is not known: http_basic is.", a.AuthStrategy)
	}
	if a.Authorization != "" {
		header, err := base64.StdEncoding.DecodeString(a.Authorization)
		if err != nil || strings.ContainsAny(string(header), "\r\n\x00") {
			return fail(paramsError, "image_request_authorization is not base64 of one line.")
		}
		r.fetch.Authorization = secret.New(string(header))
	}
	return nil
}

// open are the options for what is fetched besides the image: without what is the image's alone.
func (r *Request) open() source.Options {
	o := r.fetch
	o.User, o.Password, o.Authorization, o.Size = "", secret.Secret{}, secret.Secret{}, 0
	return o
}
