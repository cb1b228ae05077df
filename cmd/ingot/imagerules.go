package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ingot/internal/conductor"
	"ingot/internal/config"
	"ingot/internal/fault"
	"ingot/internal/image"
)

// imageRules is what the configuration permits of images.
func imageRules(c config.ImageRules) (image.Rules, error) {
	permitted, err := image.ParsePermitted(c.PermittedImageFormats)
	if err != nil {
		return image.Rules{}, fmt.Errorf("[conductor] permitted_image_formats: %w", err)
	}
	return image.Rules{Permitted: permitted, Shallow: c.DisableDeepImageInspection}, nil
}

// Validate fetches an image to the shelf, verifies and judges it, and gives it up again.
func (im *images) Validate(ctx context.Context, node string, i conductor.Image) error {
	looks := "to look at/" + node
	defer func() { _ = im.shelf.Release(im.heldFor(looks)) }() // what stays goes when it expires
	file, f, err := im.have(ctx, im.name(i), looks, i)
	if err != nil {
		return err
	}
	return errors.Join(im.judge(file, f.Size, i), file.Close())
}

// judging is what an image takes while it is read whole, however large it is: the window of a decoder, or the tables of a format.
const judging = image.MaxWindow

// judge checks an image whose checksum is right already.
func (im *images) judge(file io.ReaderAt, size int64, i conductor.Image) error {
	if i.As != "" {
		return nil // a boot ISO, which no disk gets
	}
	free, err := im.memory("judging the image", judging)
	if err != nil {
		return err
	}
	defer free()
	_, err = image.Check(file, size, image.Options{Rules: im.rules, Declared: i.Declared, Partition: i.Partition})
	if public, ok := fault.PublicOf(err); ok && fault.KindOf(err) == fault.Invalid {
		return fault.Wrap(fault.Invalid, err, "Image %s is refused. %s", conductor.ImageName(i), public)
	}
	return err
}

// judged is judge for an image on the shelf, which the node gives up if it is refused.
func (im *images) judged(name, node string, i conductor.Image) error {
	file, f, err := im.shelf.Open(name)
	if err != nil {
		return err
	}
	err = errors.Join(im.judge(file, f.Size, i), file.Close())
	if fault.KindOf(err) == fault.Invalid {
		err = errors.Join(err, im.shelf.Release(im.heldFor(node)))
	}
	return err
}
