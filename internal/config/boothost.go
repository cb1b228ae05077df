package config

import "time"

// BootHost is the section [boot_host]: how much a server with the role boot keeps. It is ours, and read there.
type BootHost struct {
	// Space is how many MiB of pushed files may lie there at once. More is refused, before a machine is touched.
	Space int `key:"space" min:"64"`
	// MaxFileSize is how many MiB one of them may have.
	MaxFileSize int `key:"max_file_size" min:"64"`
	// MetadataSpace is how many MiB of what instances read lie in its memory at most, where it serves metadata.
	MetadataSpace int `key:"metadata_space" min:"1" max:"1048576"`
	// MetadataMaxAge is how long it goes on serving metadata when no conductor is heard: an instance that has ended would be served
	// as long.
	MetadataMaxAge time.Duration `key:"metadata_max_age" min:"60"`
}

// ImageCache is the part of the section [pxe] about images that machines fetch from this server, or that pass through it.
type ImageCache struct {
	// ImageCacheSize is how many MiB of images may lie in the data folder at once: those that machines fetch with
	// image_download_source local, and with boot hosts those on their way to one.
	ImageCacheSize int `key:"image_cache_size" min:"64"`
}

func bootHost() BootHost {
	return BootHost{Space: 64 << 10, MaxFileSize: 32 << 10, MetadataSpace: 512, MetadataMaxAge: 24 * time.Hour}
}
