package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"ingot/internal/metal"
)

// BIOSSettings lists the settings of a node's firmware, by name.
func (t *Tx) BIOSSettings(nodeID int64) (out []metal.BIOSSetting, err error) {
	rows, err := t.rows("SELECT name, value, registry, created_at, updated_at FROM bios_settings WHERE node_id = ? ORDER BY name", nodeID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s metal.BIOSSetting
		var value sql.NullString
		var registry string
		var created, updated int64
		if err := rows.Scan(&s.Name, &value, &registry, &created, &updated); err != nil {
			return nil, err
		}
		if value.Valid {
			s.Value = &value.String
		}
		if err := json.Unmarshal([]byte(registry), &s.Registry); err != nil {
			return nil, fmt.Errorf("BIOS setting %s: %w", s.Name, err)
		}
		s.CreatedAt, s.UpdatedAt = fromMicros(created), fromMicros(updated)
		out = append(out, s)
	}
	return out, rows.Err()
}

// SaveBIOSSettings makes these the settings of a node. Those that are as before keep their times.
func (t *Tx) SaveBIOSSettings(nodeID int64, settings []metal.BIOSSetting) error {
	before, err := t.BIOSSettings(nodeID)
	if err != nil {
		return err
	}
	for _, old := range before {
		if slices.ContainsFunc(settings, func(s metal.BIOSSetting) bool { return s.Name == old.Name }) {
			continue
		}
		if _, err := t.exec("DELETE FROM bios_settings WHERE node_id = ? AND name = ?", nodeID, old.Name); err != nil {
			return err
		}
	}
	for _, s := range settings {
		registry, err := json.Marshal(s.Registry)
		if err != nil {
			return err
		}
		var value any
		if s.Value != nil {
			value = *s.Value
		}
		_, err = t.exec(`INSERT INTO bios_settings (node_id, name, value, registry, created_at, updated_at) VALUES (?, ?, ?, ?, {{now}}, 0)
			ON CONFLICT (node_id, name) DO UPDATE SET value = excluded.value, registry = excluded.registry, updated_at = excluded.created_at
			WHERE COALESCE(bios_settings.value, '') <> COALESCE(excluded.value, '') OR (bios_settings.value IS NULL) <> (excluded.value IS NULL)
			OR bios_settings.registry <> excluded.registry`,
			nodeID, s.Name, value, string(registry))
		if err != nil {
			return err
		}
	}
	return nil
}

// FirmwareComponents lists the parts of a node that have firmware, by name.
func (t *Tx) FirmwareComponents(nodeID int64) (out []metal.FirmwareComponent, err error) {
	rows, err := t.rows(`SELECT component, initial_version, current_version, last_version_flashed, vendor, model, serial_number, created_at, updated_at
		FROM firmware_components WHERE node_id = ? ORDER BY component`, nodeID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var f metal.FirmwareComponent
		var created, updated int64
		if err := rows.Scan(&f.Component, &f.Initial, &f.Current, &f.LastFlashed, &f.Vendor, &f.Model, &f.Serial, &created, &updated); err != nil {
			return nil, err
		}
		f.CreatedAt, f.UpdatedAt = fromMicros(created), fromMicros(updated)
		out = append(out, f)
	}
	return out, rows.Err()
}

// SaveFirmwareComponents makes these the parts of a node that have firmware. The version that one was first seen with
// is kept, and what was flashed last unless the driver knows of a later one.
func (t *Tx) SaveFirmwareComponents(nodeID int64, components []metal.FirmwareComponent) error {
	before, err := t.FirmwareComponents(nodeID)
	if err != nil {
		return err
	}
	for _, old := range before {
		if slices.ContainsFunc(components, func(f metal.FirmwareComponent) bool { return f.Component == old.Component }) {
			continue
		}
		if _, err := t.exec("DELETE FROM firmware_components WHERE node_id = ? AND component = ?", nodeID, old.Component); err != nil {
			return err
		}
	}
	for _, f := range components {
		_, err := t.exec(`INSERT INTO firmware_components (node_id, component, initial_version, current_version, last_version_flashed,
			vendor, model, serial_number, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, {{now}}, 0)
			ON CONFLICT (node_id, component) DO UPDATE SET current_version = excluded.current_version, vendor = excluded.vendor,
			last_version_flashed = CASE excluded.last_version_flashed WHEN '' THEN firmware_components.last_version_flashed ELSE excluded.last_version_flashed END,
			model = excluded.model, serial_number = excluded.serial_number, updated_at = excluded.created_at
			WHERE firmware_components.current_version <> excluded.current_version OR firmware_components.vendor <> excluded.vendor
			OR firmware_components.model <> excluded.model OR firmware_components.serial_number <> excluded.serial_number
			OR (excluded.last_version_flashed <> '' AND firmware_components.last_version_flashed <> excluded.last_version_flashed)`,
			nodeID, f.Component, f.Current, f.Current, f.LastFlashed, f.Vendor, f.Model, f.Serial)
		if err != nil {
			return err
		}
	}
	return nil
}
