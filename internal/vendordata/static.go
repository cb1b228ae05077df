package vendordata

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"ingot/internal/watched"
)

// openStatic gives the document of vendordata_jsonfile_path: what the file said when it could last be read. At start it must be in
// order. Its errors do not quote it.
func openStatic(path string, limit int, log *slog.Logger) (func() json.RawMessage, error) {
	if path == "" {
		return func() json.RawMessage { return json.RawMessage("{}") }, nil
	}
	f, err := watched.Open(path, int64(limit), log, func(text []byte) (json.RawMessage, error) { return parseJSON(text) })
	if err != nil {
		return nil, fmt.Errorf("[api] vendordata_jsonfile_path: %w", err)
	}
	return f.Get, nil
}
