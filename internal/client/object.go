package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/wire"
)

// Object is a resource exactly as the server sent it; numbers are json.Number. Keys this client has no
// field for are kept, so that a newer server is shown in full.
type Object map[string]any

// Text is the string under key, "" if it is absent, null or no string.
func (o Object) Text(key string) string {
	s, _ := o[key].(string)
	return s
}

// decodeBoth fills a typed view and keeps the whole.
func decodeBoth(b []byte, typed any, all *Object) error {
	if err := json.Unmarshal(b, typed); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(all)
}

// maxPages stops a server that always names a next page.
const maxPages = 10000

// list reads a collection page by page until it ends or most objects are there; most 0 means all.
func list[T any](ctx context.Context, c *Client, path, key string, q url.Values, most int) ([]T, error) {
	out := []T{}
	for range maxPages {
		var raw json.RawMessage
		if err := c.do(ctx, call{method: http.MethodGet, path: path, query: q, out: &raw}); err != nil {
			return nil, err
		}
		page, err := wire.DecodeList[T](raw, key)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "the list of %s cannot be understood", key)
		}
		out = append(out, page.Items...)
		if most > 0 && len(out) >= most {
			return out[:most], nil
		}
		if page.Next == "" {
			return out, nil
		}
		if path, q, err = follow(page.Next); err != nil {
			return nil, err
		}
	}
	return nil, fault.New(fault.Internal, "the list of %s does not end", key)
}

// follow takes path and query from a next link. Its host is not used: behind a proxy the server may know
// itself by another name, and a link must not send us elsewhere.
func follow(next string) (string, url.Values, error) {
	u, err := url.Parse(next)
	if err != nil {
		return "", nil, fault.Wrap(fault.Internal, err, "the link to the next page is no URL")
	}
	path := u.EscapedPath()
	for _, root := range []string{"/v1/", "/ingot/v1/"} {
		if i := strings.Index(path, root); i >= 0 {
			return path[i:], u.Query(), nil
		}
	}
	return "", nil, fault.New(fault.Internal, "the link to the next page leads out of the API: %s", path)
}

func (c *Client) get(ctx context.Context, path string, q url.Values, out any) error {
	return c.do(ctx, call{method: http.MethodGet, path: path, query: q, out: out})
}

func nodePath(ident string, rest ...string) string {
	return "/v1/nodes/" + seg(ident) + strings.Join(rest, "")
}

func missing(what string) error {
	return fault.New(fault.Invalid, "no %s given", what)
}
