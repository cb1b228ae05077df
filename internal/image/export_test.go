package image

import "bytes"

// The parsers of single formats, for their fuzz targets: a whole file reaches them only behind its signature.
var (
	CheckVMDKDescriptor = checkVMDKDescriptor
	ParseVMDKHeader     = func(b []byte) error { _, err := parseVMDKHeader(b); return err }
)

// CheckFormat judges a file as one of a format.
func CheckFormat(f Format, file []byte) error {
	return checks[f](newView(bytes.NewReader(file), int64(len(file))))
}
