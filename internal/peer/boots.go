package peer

import (
	"context"
	"encoding/json"
	"net/http"
)

// Boots keeps the network boots that conductors push. What one is, and what is told of it, is between them and whoever
// keeps them: here it is JSON.
type Boots interface {
	// Put keeps a boot in place of the holder's last. What is put twice is there once.
	Put(ctx context.Context, holder string, boot json.RawMessage) error
	// Remove ends the holder's boot of a generation; none is no error.
	Remove(ctx context.Context, holder, generation string) error
	// Story tells how far the holder's boot is.
	Story(ctx context.Context, holder string) (any, error)
}

func (c *call) putBoot() (any, error) {
	var raw json.RawMessage
	if err := c.read(&raw); err != nil {
		return nil, err
	}
	return struct{}{}, c.o.Boots.Put(c.r.Context(), c.r.PathValue("holder"), raw)
}

func (c *call) removeBoot() (any, error) {
	return struct{}{}, c.o.Boots.Remove(c.r.Context(), c.r.PathValue("holder"), c.r.PathValue("generation"))
}

func (c *call) bootStory() (any, error) {
	return c.o.Boots.Story(c.r.Context(), c.r.PathValue("holder"))
}

// PutBoot pushes a network boot to a boot host. Its files are pushed before.
func (p *Peer) PutBoot(ctx context.Context, to Server, holder string, boot json.RawMessage) error {
	return p.ask(ctx, to, http.MethodPut, "/v1/boots/"+holder, boot, nil)
}

// RemoveBoot ends a network boot on a boot host; one that is not there is no error.
func (p *Peer) RemoveBoot(ctx context.Context, at Server, holder, generation string) error {
	return p.ask(ctx, at, http.MethodDelete, "/v1/boots/"+holder+"/"+generation, nil, nil)
}

// BootStory asks how far a network boot is.
func (p *Peer) BootStory(ctx context.Context, at Server, holder string, story any) error {
	return p.ask(ctx, at, http.MethodGet, "/v1/boots/"+holder, nil, story)
}
