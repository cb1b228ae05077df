package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"ingot/agent/server"
	"ingot/internal/agentapi"
)

type imageParams struct {
	Image *agentapi.ImageInfo `json:"image_info"`
	// ConfigDrive is base64 of a gzipped file system, or a URL of that; nil or empty for none.
	ConfigDrive *string `json:"configdrive"`
}

// writeImage is the deploy step; prepareImage the same as a command of its own.
func (s *Steps) writeImage(ctx context.Context, raw json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	text, err := s.write(ctx, raw, progress)
	if err != nil {
		return nil, err
	}
	return map[string]string{"result": "prepare_image: " + text}, nil
}

func (s *Steps) prepareImage(ctx context.Context, raw json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	text, err := s.write(ctx, raw, progress)
	if err != nil {
		return nil, err
	}
	return text, nil
}

func (s *Steps) write(ctx context.Context, raw json.RawMessage, progress func(agentapi.Progress)) (string, error) {
	var p imageParams
	if err := decode(raw, &p); err != nil {
		return "", err
	}
	if err := checkImage(p.Image); err != nil {
		return "", err
	}
	disk, err := s.rootDisk(ctx)
	if err != nil {
		return "", err
	}
	if err := s.checkPartition(p.Image, disk.Name); err != nil {
		return "", err
	}
	drive := ""
	if p.ConfigDrive != nil {
		drive = *p.ConfigDrive
	}
	s.setWritten(nil, "") // what is on the disk from now on is neither the old nor the new
	s.Log.Info("image write starts", "image", p.Image.ID, "disk", disk.Name, "bytes", disk.Size)
	w, err := s.Write(ctx, s.Machine.Device(disk.Name), *p.Image, drive, progress)
	if err != nil {
		return "", err
	}
	s.setWritten(&w, disk.Name)
	return fmt.Sprintf("image (%s) written to device %s root_uuid=%s", p.Image.ID, disk.Name, w.RootUUID), nil
}

// checkImage refuses what can be refused without looking at a disk. Source: agent protocol reference §8.1.
func checkImage(i *agentapi.ImageInfo) error {
	wrong := ""
	switch {
	case i == nil:
		wrong = "image_info is missing"
	case i.ID == "" || len(i.URLs) == 0:
		wrong = "image_info must have an id and at least one URL"
	case i.Checksum == "" && (i.HashAlgo == "" || i.HashValue == ""):
		wrong = "image_info has no checksum: os_hash_algo and os_hash_value, or checksum"
	}
	if wrong != "" {
		return server.Error("InvalidCommandParamsError", "%s", wrong)
	}
	return nil
}

// checkPartition refuses a partition image on a machine that this agent could not make boot from it.
func (s *Steps) checkPartition(i *agentapi.ImageInfo, disk string) error {
	switch {
	case i.ImageType != "partition":
	case !s.Machine.UEFI():
		return server.Error("InvalidCommandParamsError", "%s", "partition images are deployed to machines that boot with UEFI, and this one booted with a BIOS: use a whole-disk image")
	case s.Machine.Array(disk):
		return server.Error("InvalidCommandParamsError", "%s", "partition images are not written to "+disk+", which is an array: firmware could not read the EFI system partition on it")
	}
	return nil
}

func (s *Steps) setWritten(w *Written, disk string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written, s.writtenTo = w, disk
}

// imageDisk is the disk that was written, or else the one that would be.
func (s *Steps) imageDisk(ctx context.Context) (string, error) {
	s.mu.Lock()
	name := s.writtenTo
	s.mu.Unlock()
	if name != "" {
		return name, nil
	}
	disk, err := s.rootDisk(ctx)
	return disk.Name, err
}

// partitionUUIDs tells what is known of the image that was written; the key names have spaces.
func (s *Steps) partitionUUIDs(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := map[string]any{}
	if s.written != nil {
		for key, value := range map[string]string{"root uuid": s.written.RootUUID, "efi system partition uuid": s.written.ESPUUID} {
			if value != "" {
				known[key] = value
			}
		}
		if len(s.written.Partitions) > 0 {
			known["partitions"] = s.written.Partitions
		}
	}
	return known, nil
}

type loaderParams struct {
	Ignore *bool `json:"ignore_bootloader_failure"`
}

// installBootloader makes an EFI boot entry. A machine with BIOS needs nothing: whole-disk images bring
// their own boot sector, and no other images are written there.
func (s *Steps) installBootloader(ctx context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	var p loaderParams
	if err := decode(raw, &p); err != nil {
		return nil, err
	}
	if !s.Machine.UEFI() {
		return nil, nil
	}
	disk, err := s.imageDisk(ctx)
	if err != nil {
		return nil, err
	}
	if s.Machine.Array(disk) {
		return nil, errors.New("make the boot entry: firmware cannot read " + disk + ", which is an array, and this agent makes no EFI system partition beside it")
	}
	err = s.InstallLoader(ctx, s.Machine.Device(disk))
	if err != nil && p.Ignore != nil && *p.Ignore {
		s.Log.Warn("boot entry was not made, as the conductor allows", "error", err)
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("make the boot entry: %w", err)
	}
	return nil, nil
}
