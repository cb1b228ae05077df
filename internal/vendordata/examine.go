package vendordata

// Weakness is what an operator should know of targets that can be asked.
type Weakness struct {
	// Unproved are targets that cannot know who asks them: whoever reaches them learns what they tell of any instance.
	Unproved []string
	// Plain are targets on other hosts that are asked by http: user data and answers can be read and changed on the way.
	Plain []string
}

// Examine looks at targets with what New would be given.
func (c Config) Examine(o Options) Weakness {
	var w Weakness
	if !c.Dynamic() {
		return w
	}
	all, _ := c.VendordataDynamicTargets.parse()
	for _, t := range all {
		if o.Signer == nil && t.url.User == nil && (o.ClientCertificate == nil || t.url.Scheme != "https") {
			w.Unproved = append(w.Unproved, t.name)
		}
		if t.url.Scheme == "http" && !t.loopback() {
			w.Plain = append(w.Plain, t.name)
		}
	}
	return w
}
