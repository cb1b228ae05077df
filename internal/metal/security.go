package metal

import "time"

// KeyDatabase is one of the databases that Secure Boot goes by: PK, KEK, db, dbx.
type KeyDatabase struct {
	Name         string           `json:"name"`
	Certificates []KeyCertificate `json:"certificates"`
}

// KeyCertificate is a certificate in one of them.
type KeyCertificate struct {
	Subject     string     `json:"subject"`
	Issuer      string     `json:"issuer"`
	Fingerprint string     `json:"sha256"` // of its DER form, hex
	NotAfter    *time.Time `json:"not_after,omitempty"`
	Owner       string     `json:"owner,omitempty"` // the GUID of who put it there
}

// Answer is what can be known of a machine: yes, no, or that its BMC does not say.
type Answer string

// The answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

// The questions of a security report. They are shown to callers: never rename one.
const (
	AskSignedFirmware = "signed_firmware"
	AskTPM            = "tpm"
	AskSecureBoot     = "secure_boot"
	AskHostInterface  = "host_interface"
	AskBootLock       = "boot_settings_lockable"
	AskIPMI           = "ipmi_over_lan"
)

// SecurityFinding is what is known about one question.
type SecurityFinding struct {
	Name   string `json:"name"`
	Answer Answer `json:"answer"`
	Good   bool   `json:"good"`             // nothing needs to be done about it
	Detail string `json:"detail"`           // what the answer rests on, a sentence
	Advice string `json:"advice,omitempty"` // what to do, a sentence; "" where nothing is
}

// SecurityReport is what a machine's BMC tells of how well its firmware is kept from the machine's user.
type SecurityReport struct {
	Findings []SecurityFinding `json:"findings"`
	Keys     []KeyDatabase     `json:"secure_boot_keys"` // nil: the BMC does not show them
}
