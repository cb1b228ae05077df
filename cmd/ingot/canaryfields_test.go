package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ingot/internal/config"
	"ingot/internal/driver/neutron"
	"ingot/internal/driver/vswitch"
	"ingot/internal/secret"
)

// secretOptions are all options that are secret, as section and key: each gets a canary in the server's configuration.
func secretOptions() (all [][2]string) {
	v := reflect.TypeFor[config.Config]()
	for i := range v.NumField() {
		room, section := v.Field(i).Type, v.Field(i).Tag.Get("section")
		for _, f := range reflect.VisibleFields(room) {
			if f.Type != reflect.TypeFor[secret.Secret]() || f.Tag.Get("key") == "" {
				continue
			}
			at := section
			if elsewhere := f.Tag.Get("section"); elsewhere != "" {
				at = elsewhere
			}
			all = append(all, [2]string{at, f.Tag.Get("key")})
		}
	}
	return all
}

// secretKeys are the keys of driver_info that are secret, by hardware type: a node of each gets a canary in each.
func secretKeys() map[string][]string {
	out := map[string][]string{}
	for _, d := range designs() {
		out[d.Name] = []string{"nobodys_key"} // what no driver lists is secret, too
		for _, f := range slices.Concat(d.Fields, neutron.Fields(), vswitch.Fields()) {
			if f.Secret && !slices.Contains(out[d.Name], f.Name) {
				out[d.Name] = append(out[d.Name], f.Name)
			}
		}
	}
	return out
}

// secretHolders are all fields of structs that hold something secret, each with what TestSecretsStayInside has in it. What a value
// only passes through on the way is named by where it comes from. "elsewhere" names another test.
var secretHolders = map[string]string{
	"agent.identity.token":                     "agent token of boot 1",
	"agent/journal.Sources.Hide":               "agent token of boot 1",
	"agent/server.Config.Token":                "agent token of boot 1",
	"agent/server.Server.token":                "agent token of boot 1",
	"agent/steps.Config.Hide":                  "agent token of boot 1",
	"cmd/ingot.bootHosts.key":                  "key for names of pushed files",
	"cmd/ingot.images.key":                     "key for names of images",
	"internal/agentapi.Client.token":           "agent token of boot 1",
	"internal/agentapi.LookupQuery.Token":      "agent token of boot 1",
	"internal/agentapi.Pair.Key":               "elsewhere: TestPolledMachines of lab/e2e",
	"internal/api.request.secrets":             "deploy step's argument; clean step's argument; service step's argument",
	"internal/conductor.hidden.credentials":    "elsewhere: TestREQ09LostSecretsAreNamed of internal/conductor",
	"internal/conductor.hidden.parameters":     "elsewhere: TestREQ09LostSecretsAreNamed of internal/conductor",
	"internal/conductor.prepared.answers":      "elsewhere: TestRequirement06AFatalFailureFailsTheDeployment of internal/conductor",
	"internal/client.NewNode.DriverInfo":       "BMC password",
	"internal/client.Options.Password":         "password of boss",
	"internal/client.Options.Token":            "Keystone token",
	"internal/client.Provision.RescuePassword": "rescue password",
	"internal/client.Provision.Secrets":        "deploy step's argument",
	"internal/cli.exported.password":           "elsewhere: TestREQ12TheCommandLineTakesNoHiddenValues of internal/cli",
	"internal/client.OSInstall.ImportPassword": "elsewhere: TestREQ12TheCommandLineTakesNoHiddenValues of internal/cli",
	"internal/client.OSInstall.ImportUser":     "elsewhere: TestREQ12TheCommandLineTakesNoHiddenValues of internal/cli",
	"internal/ops.OSInstall.ImportCredentials": "elsewhere: TestREQ07HiddenValuesOfAnExportAreTheCouriers of internal/ops",
	"internal/client.OSInstall.Password":       "elsewhere: TestREQ12TheCommandLineTakesNoHiddenValues of internal/cli",
	"internal/client.OSInstall.Private":        "elsewhere: TestREQ12TheCommandLineTakesNoHiddenValues of internal/cli",
	"internal/client.OSInstall.Secret":         "elsewhere: TestREQ12TheCommandLineTakesNoHiddenValues of internal/cli",
	"internal/client.OSInstall.User":           "elsewhere: TestREQ12TheCommandLineTakesNoHiddenValues of internal/cli",
	"internal/depot.HeldSeed.Seed":             "elsewhere: TestBootHostServesMetadata",
	"internal/depot.Options.Key":               "key for boot addresses",
	"internal/driver/redfish.access.password":  "BMC password; wrong BMC password",
	"internal/metal.NetworkBoot.Config":        "agent token of boot 1",
	"internal/metal.NetworkBoot.Key":           "agent token of boot 1",
	"internal/metal.Node.DriverInfo":           "BMC password; driver_info nobodys_key; driver_info, deep inside; driver_info that a rule sets",
	"internal/metal.Node.InstanceInfo":         "instance_info password; instance_info image_url; instance_info, deep inside; instance_info image_pull_secret; credentials in the image's URL",
	"internal/metal.VolumeTarget.Properties":   "volume's CHAP password; volume's deeper secret",
	"internal/ops.Inspected.Token":             "agent token of boot 1",
	"internal/ops.LookupQuestion.Token":        "agent token of boot 1",
	"internal/ops.OSInstall.Credentials":       "password for a personalization package, refused",
	"internal/ops.Provision.Secrets":           "deploy step's argument; deploy step's argument, failing",
	"internal/ops.Rescue.Hash":                 "hash of the rescue password",
	"internal/osdef.Classes.Private":           "private default of an OS definition",
	"internal/osdef.Classes.Secret":            "secret OS parameter of a refused deployment",
	"internal/osdef.Variable.Value":            "elsewhere: TestREQ03TheEnvironmentIsExactlyTheDocumentedOne of internal/osdef",
	"internal/peer.Options.Seal":               "key for " + sealPurpose,
	"internal/origin.login.bearer":             "elsewhere: the registries of internal/origin's tests",
	"internal/origin.login.password":           "elsewhere: the registries of internal/origin's tests",
	"internal/origin.login.refresh":            "elsewhere: the registries of internal/origin's tests",
	"internal/seed.Input.UserData":             "user data",
	"internal/source.Options.Authorization":    "credentials in the image's URL",
	"internal/source.Options.Token":            "instance_info image_pull_secret",
	"internal/source.Options.Password":         "credentials in the image's URL",
	"internal/vendordata.Request.UserData":     "user data",
	"internal/vendordata.answer.body":          "answer of vault",
	"internal/store.Agent.AgentKey":            "elsewhere: TestPolledMachines of lab/e2e",
	"internal/store.Agent.Token":               "agent token of boot 1",
	"internal/vendordata.signingKey.secret":    "elsewhere: TestSignedRequests of lab/vendordata",
	"internal/store.Instance.Answers":          "elsewhere: TestInstancesAreSealed of internal/store",
	"internal/store.Instance.Request":          "user data",
	"internal/store.Instance.Seed":             "user data",
}

// TestEverySecretFieldHasACanary walks through the sources: a struct that is given another field of the types that hold secrets
// must say here which canary is in it. Options and keys of driver_info need no line, for each gets a canary by itself.
func TestEverySecretFieldHasACanary(t *testing.T) {
	declared := map[string]bool{}
	for _, dir := range []string{"internal", "agent", "cmd"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err == nil {
				holders(file, filepath.ToSlash(filepath.Dir(path))[len("../../"):], declared)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		if secretHolders[name] == "" {
			t.Errorf("%s holds something secret: say in secretHolders which canary TestSecretsStayInside puts into it, and plant one if none is", name)
		}
	}
	for name := range secretHolders {
		if !declared[name] {
			t.Errorf("%s is in secretHolders, and there is no such field", name)
		}
	}
	if n := len(secretOptions()); n < 4 {
		t.Errorf("only %d options are secret: the walk through them sees nothing", n)
	}
	for _, f := range [][2]string{{"redfish", "redfish_password"}, {"ipmi", "ipmi_password"}, {"ipmi", "ipmi_hex_kg_key"}, {"idrac", "redfish_password"}} {
		if !slices.Contains(secretKeys()[f[0]], f[1]) {
			t.Errorf("the walk through hardware types does not see %s of %s", f[1], f[0])
		}
	}
}

// holders notes the fields of a file's structs that are of a secret type, or lists or maps of one.
func holders(file *ast.File, dir string, into map[string]bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		s, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, f := range s.Fields.List {
			if !isSecret(f.Type) {
				continue
			}
			if f.Tag != nil && strings.Contains(f.Tag.Value, "key:") {
				continue // an option
			}
			for _, name := range f.Names {
				into[dir+"."+spec.Name.Name+"."+name.Name] = true
			}
		}
		return true
	})
}

func isSecret(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		room, ok := e.X.(*ast.Ident)
		return ok && room.Name == "secret" && (e.Sel.Name == "Secret" || e.Sel.Name == "Map")
	case *ast.ArrayType:
		return isSecret(e.Elt)
	case *ast.MapType:
		return isSecret(e.Value)
	case *ast.StarExpr:
		return isSecret(e.X)
	}
	return false
}
