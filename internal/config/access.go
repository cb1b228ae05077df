package config

// Access is who may come in, and how: the part of [DEFAULT] and [api] about log-ins, TLS and limits.
type Access struct {
	// AuthStrategy is how the API tells who asks. Empty means noauth, on a loopback address only.
	AuthStrategy string `key:"auth_strategy" section:"DEFAULT" oneof:",noauth,http_basic,local,keystone"`
	// HTTPBasicAuthUserFile is the htpasswd file of http_basic; its passwords must be hashed with bcrypt.
	HTTPBasicAuthUserFile string `key:"http_basic_auth_user_file" section:"DEFAULT" is:"path"`
	// LocalAuthUserFile is the identity file of local, which "ingot user" writes. Empty means identity.yaml in the data folder.
	LocalAuthUserFile string `key:"local_auth_user_file" section:"DEFAULT" is:"path"`
	// NoAuthAnywhere lets auth_strategy = noauth listen on an address that is not loopback: whoever reaches it may do everything.
	NoAuthAnywhere bool `key:"noauth_anywhere"`
	// EnableSSLAPI serves the API with TLS.
	EnableSSLAPI bool `key:"enable_ssl_api"`
	// CertFile is the API's certificate in PEM, its chain behind it. It is read again when it changes.
	CertFile string `key:"cert_file" is:"path"`
	// KeyFile is that certificate's key in PEM.
	KeyFile string `key:"key_file" is:"path"`
	// TLSMinimumVersion is the oldest TLS that the API, the metrics and the boot listener speak.
	TLSMinimumVersion string `key:"tls_minimum_version" oneof:"1.2,1.3"`
	// TLSCiphers are ciphers of TLS 1.2, divided by colons. Empty allows those that are safe. Those of 1.3 cannot be chosen.
	TLSCiphers string `key:"tls_ciphers"`
	// MaxJSONBodyDepth is how deep the JSON of a request may nest.
	MaxJSONBodyDepth int `key:"max_json_body_depth" min:"1" max:"1000"`
	// MaxJSONBodySize is how large the body of a request may be, in KiB.
	MaxJSONBodySize int `key:"max_json_body_size" min:"1" max:"1048576"`
	// MaxJSONBodySizeProvision is the same for states/provision, which carries config drives.
	MaxJSONBodySizeProvision int `key:"max_json_body_size_provision" min:"1" max:"1048576"`
	// MaxJSONBodySizeInspection is the same for continue_inspection, which carries what an agent found.
	MaxJSONBodySizeInspection int `key:"max_json_body_size_inspection" min:"1" max:"1048576"`
	// RateLimit is how many requests one address may send in a second; more are answered with 429. 0 is without limit.
	RateLimit int `key:"rate_limit" min:"0" max:"1000000"`
	// RateLimitBurst is how many requests an address that was silent may send at once.
	RateLimitBurst int `key:"rate_limit_burst" min:"1" max:"1000000"`
	// MaxConnections is how many connections each listener has at a time. When there are more, the one that has been idle
	// longest is closed.
	MaxConnections int `key:"max_connections" min:"1" max:"1000000"`
}

func access() Access {
	return Access{HTTPBasicAuthUserFile: "/etc/ironic/htpasswd", TLSMinimumVersion: "1.3", MaxJSONBodyDepth: 25, MaxJSONBodySize: 1024,
		MaxJSONBodySizeProvision: 65536, MaxJSONBodySizeInspection: 16384, RateLimitBurst: 100, MaxConnections: 4096}
}

// MetricsTLS is the part of the section [metrics] about TLS.
type MetricsTLS struct {
	// CertFile is the certificate of the metrics listener in PEM. Empty serves it without TLS. It is read again when it
	// changes.
	CertFile string `key:"cert_file" is:"path"`
	// KeyFile is that certificate's key in PEM.
	KeyFile string `key:"key_file" is:"path"`
}

// BootTLS is the part of the section [deploy] about the TLS of the boot listener.
type BootTLS struct {
	// HTTPCertFile is the certificate of the boot listener in PEM, which BMCs and machines must trust. Empty serves boot media
	// without TLS, as most BMCs want it. It is read again when it changes.
	HTTPCertFile string `key:"http_cert_file" is:"path"`
	// HTTPKeyFile is that certificate's key in PEM.
	HTTPKeyFile string `key:"http_key_file" is:"path"`
}

// AgentTLS is the part of the section [agent] about the TLS of the agents' door.
type AgentTLS struct {
	// TLSMinimumVersion is the oldest TLS that the agents' door speaks.
	TLSMinimumVersion string `key:"tls_minimum_version" oneof:"1.2,1.3"`
	// TLSCiphers are ciphers of TLS 1.2 for the agents' door, divided by colons. Empty allows those that are safe.
	TLSCiphers string `key:"tls_ciphers"`
}
