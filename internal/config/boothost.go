package config

// BootHost is the section [boot_host]: how much a server with the role boot keeps. It is ours, and read there.
type BootHost struct {
	// Space is how many MiB of pushed files may lie there at once. More is refused, before a machine is touched.
	Space int `key:"space" min:"64"`
	// MaxFileSize is how many MiB one of them may have.
	MaxFileSize int `key:"max_file_size" min:"64"`
}

// ImageCache is the part of the section [pxe] about images that machines fetch from this server, or that pass through it.
type ImageCache struct {
	// ImageCacheSize is how many MiB of images may lie in the data folder at once: those that machines fetch with
	// image_download_source local, and with boot hosts those on their way to one.
	ImageCacheSize int `key:"image_cache_size" min:"64"`
}

func bootHost() BootHost { return BootHost{Space: 64 << 10, MaxFileSize: 32 << 10} }
