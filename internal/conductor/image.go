package conductor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/source"
)

// lookLimit is how long the start of an image is looked for before the machine is left to do it.
const lookLimit = 30 * time.Second

// lookInto reads the head of the image as the agent will, so that what cannot be deployed is refused while the
// machine is still as it was, and gives its format. A server that this host does not reach in time may well be
// reached by the machine: then the agent alone looks, before it writes, and the format is what was declared.
func (r *runner) lookInto(ctx context.Context, op *Op, url string, limit time.Duration, o image.Options, from source.Options) (string, error) {
	o.Rules = r.c.config.ImageRules
	looking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	format, err := formatOf(looking, url, o, from, deployISO(op.Node) != "")
	if err != nil && fault.KindOf(err) != fault.Unavailable && looking.Err() != nil && ctx.Err() == nil {
		err = fault.Wrap(fault.Unavailable, err, "The server did not show the start of image %s within %s.", imageName(url), limit)
	}
	if fault.KindOf(err) == fault.Unavailable {
		r.event(op, "step", "INFO", "The image could not be looked at from here, the machine will: "+sentence(err))
		return o.Declared, nil
	}
	return string(format), err
}

// refusedImage says of which image a refusal is.
func refusedImage(url string, err error) error {
	public, ok := fault.PublicOf(err)
	if kind := fault.KindOf(err); !ok || kind != fault.Invalid && kind != fault.TooLarge {
		return err
	}
	return fault.Wrap(fault.KindOf(err), err, "Image %s is refused. %s", imageName(url), public)
}

// imageName is how messages and agents call an image: the last part of its address.
func imageName(address string) string { return path.Base(strings.SplitN(address, "?", 2)[0]) }

// formatOf judges the start of an image. Upstream's agent takes no compressed one.
func formatOf(ctx context.Context, url string, o image.Options, from source.Options, upstream bool) (image.Format, error) {
	from.Tries, from.Connect, from.Stall = 1, 5*time.Second, 10*time.Second
	body, err := source.Open(ctx, []string{url}, from)
	if err != nil {
		return "", err
	}
	defer body.Close()
	parts := body.Ranges()
	first := make([]byte, 64)
	n, err := io.ReadFull(body, first)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	if image.Detect(first[:n]) == image.QCOW2 {
		size, err := parts.Size()
		if err != nil {
			return "", err
		}
		if _, err := image.OpenQCOW2(parts, size, o); err != nil {
			return "", refusedImage(url, err)
		}
		return image.QCOW2, nil
	}
	d, err := image.NewDecoder(io.MultiReader(bytes.NewReader(first[:n]), body), o)
	if err != nil {
		return "", refusedImage(url, err)
	}
	d.Close()
	if d.Info().Compression != "" && upstream {
		return "", fault.New(fault.Invalid, "The image is compressed (%s), and the agent of the node's deploy_iso would write it as it is: give an image that is raw or qcow2.", d.Info().Compression)
	}
	return d.Info().Format, nil
}
