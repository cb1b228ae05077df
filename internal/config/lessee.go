package config

// Leases is what the section [conductor] says of who gets a node that is deployed.
type Leases struct {
	// AutomaticLessee lends a node that is deployed, and lent to nobody, to a project until it is torn down.
	AutomaticLessee bool `key:"automatic_lessee"`
	// AutomaticLesseeSource is where that project comes from: instance is project_id in instance_info, request the project
	// of whoever asks for the deployment.
	AutomaticLesseeSource string `key:"automatic_lessee_source" oneof:"instance,request,none"`
}
