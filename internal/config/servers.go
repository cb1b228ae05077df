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
