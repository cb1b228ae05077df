package steps

import "ingot/internal/agentapi"

// What our steps take; a conductor refuses what is not named here.
var (
	verifyInfo = map[string]agentapi.ArgInfo{
		"verify": {Description: "what is read back after a discard: all, or samples. Without it all."},
	}
	patternsInfo = map[string]agentapi.ArgInfo{
		"match_patterns": {Description: "a list of regular expressions; a boot entry whose device path one of them matches is removed, whatever the case. Without it those that operating systems leave."},
	}
	imageInfo = map[string]agentapi.ArgInfo{
		"image_info":  {Description: "what to write, and its checksum.", Required: true},
		"configdrive": {Description: "the config drive: a URL, or base64 of a gzipped file system."},
	}
	raidInfo = map[string]agentapi.ArgInfo{
		"raid_config":     {Description: "the configuration, in the form of a node's target_raid_config.", Required: true},
		"delete_existing": {Description: "whether the arrays that are there are deleted first. Without it they are."},
	}
)
