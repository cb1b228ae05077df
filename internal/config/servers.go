package config

import (
	"time"

	"ingot/internal/secret"
)

// Database is the section [database].
type Database struct {
	// Connection is the postgres:// URL of a database that several servers share. Empty means SQLite in the data
	// folder, for one server.
	Connection secret.Secret `key:"connection"`
	// KeyCommand is a program and its arguments, divided by commas, that unwraps the key that opens private values, such as the
	// client of a key management service: it gets the content of wrapped_key_file at its standard input and writes the key to its
	// standard output, 32 bytes or their hexadecimal or base64 form. Empty means the key file, or the variable INGOT_SEALING_KEY.
	KeyCommand []string `key:"key_command"`
	// WrappedKeyFile is the file that key_command gets, at most 64 KiB. It is of no use without the service.
	WrappedKeyFile string `key:"wrapped_key_file" is:"path"`
	// KeyCommandTimeout is how long key_command may take.
	KeyCommandTimeout time.Duration `key:"key_command_timeout" min:"1"`
}

// AgentDoor is the part of the section [agent] that says where agents call. It is ours.
type AgentDoor struct {
	// DoorURL is the agents' door as machines reach it, where it is not this process's own and not to be found
	// in the database: behind a balancer, for example. Empty means the door of a running server.
	DoorURL string `key:"door_url" is:"url"`
	// DoorCAFile is the PEM file of the authority or certificate that machines trust at DoorURL.
	DoorCAFile string `key:"door_ca_file" is:"path"`
}

// Peer is the section [peer]: how our own servers trust each other. It is ours.
type Peer struct {
	// CertificateLife is how long a server's certificate is good. It is renewed in the second half of it.
	CertificateLife time.Duration `key:"certificate_life" min:"3600" max:"31536000"`
}
