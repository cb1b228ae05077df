package main

import (
	"context"

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
	return w, nil
}
