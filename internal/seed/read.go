package seed

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"ingot/internal/fault"
)

// NetworkDataOf is the network data of a config drive as Ironic's API takes one: an object, or base64 of an image that may be
// gzipped. nil: the drive has none, or there is no drive. The object form without network_data was rendered with the node's
// own, given here. A drive by URL, one with another file system than ISO 9660 and vfat, and a broken one are fault.Invalid. What is read is a
// stranger's: it is bounded, and checked as what FromObject takes.
func NetworkDataOf(drive any, node map[string]any) (json.RawMessage, error) {
	switch d := drive.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		data, err := objectNetwork(d, node, completeNetwork) // it was judged when it was deployed
		if data == nil || err != nil {
			return nil, err
		}
		return marshal(data)
	case string:
		if d == "" {
			return nil, nil
		}
		return networkOn(d)
	}
	return nil, fault.New(fault.Invalid, "The config drive is neither an object nor a string.")
}

// unpacked is the image that a drive's text is: base64, with a gzip inside or not.
func unpacked(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The config drive is not base64.")
	}
	if !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		return raw, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The config drive is a broken gzip.")
	}
	image, err := io.ReadAll(io.LimitReader(z, MaxDrive+1))
	switch {
	case len(image) > MaxDrive:
		return nil, fault.New(fault.TooLarge, "The config drive is larger than %d bytes unpacked.", MaxDrive)
	case err != nil:
		return nil, fault.Wrap(fault.Invalid, errors.Join(errDrive, err), "The config drive is a broken gzip.")
	}
	return image, nil
}

var errDrive = errors.New("config drive")
