package main

import (
	"context"
	"strconv"

	"ingot/agent/disk"
	"ingot/agent/steps"
	"ingot/internal/agentapi"
)

// writeImage joins the command to the writer.
func writeImage(ctx context.Context, device string, image agentapi.ImageInfo, configDrive string, progress func(agentapi.Progress)) (steps.Written, error) {
	report, err := disk.WriteImage(ctx, disk.Request{Device: device, Image: image, ConfigDrive: configDrive, Progress: progress})
	if err != nil {
		return steps.Written{}, err
	}
	w := steps.Written{RootUUID: report.RootUUID}
	if report.ESP != nil {
		w.ESPUUID = report.ESP.UUID
	}
	if image.Partitions != nil {
		w.Partitions = map[string]string{}
		for _, p := range report.Partitions {
			w.Partitions[partitionWords[p.Name]] = partitionPath(device, p.Number)
		}
	}
	return w, nil
}

// partitionWords are upstream's for the partitions of our names. Source: agent protocol reference §8.7.
var partitionWords = map[string]string{"EFI system": "efi system partition", "swap": "swap", "config-2": "configdrive", "root": "root"}

// partitionPath is how the kernel names a partition: sda1, nvme0n1p1.
func partitionPath(device string, number int) string {
	if last := device[len(device)-1]; last >= '0' && last <= '9' {
		device += "p"
	}
	return device + strconv.Itoa(number)
}
